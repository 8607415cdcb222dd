using System;
using System.Collections.Generic;

namespace Synthjax
{
    /// <summary>A model whose one signature has float32 tensors of fixed size, by name.</summary>
    public interface INamedModel : IDisposable
    {
        /// <summary>Number of floats of an input; 0 if there is none of that name.</summary>
        int InputSize(string name);

        /// <summary>Number of floats of an output; 0 if there is none of that name.</summary>
        int OutputSize(string name);

        void Set(string name, float[] values);
        void Run();
        void Get(string name, float[] values);
    }

    /// <summary>Opens a model from the content of its file, to be called by a signature.</summary>
    public delegate INamedModel OpenModel(string file, byte[] content, string signature);

    /// <summary>
    /// A policy from a bundle and what it remembers: the port of synthjax/deploy/runtime.py. An observation that
    /// is not finite repeats the last action (none yet: zero); <see cref="Repeated"/> counts them.
    /// </summary>
    public sealed class DeployedPolicy : IDisposable
    {
        public const string PolicyFile = "policy.tflite", ObserveFile = "observe.tflite";

        readonly INamedModel infer, observe;
        readonly float[] start, gains, scale, carriedNext, baseNext, motorBase, mean, logStd;
        readonly bool squashes;
        readonly double limit = double.PositiveInfinity;
        float[] carried;

        public int ObservationSize { get; }
        public int ActionSize { get; }
        public double ControlSeconds { get; }
        public int Repeated { get; private set; }
        /// <summary>The last action; not to be changed.</summary>
        public float[] Action { get; }
        public float[] Observation { get; }
        /// <summary>What the host has to give to <see cref="Observe"/>: names, in the order of the manifest.</summary>
        public IReadOnlyList<string> SensorNames { get; }

        /// <param name="parameters">vector "params" of a <see cref="FineTuning"/>, to act as that has learned and
        /// not as it was exported; see <see cref="Use"/></param>
        /// <param name="observationHash">of the layout that a host which computes observations itself was built for;
        /// a bundle with another one is refused</param>
        /// <exception cref="BundleException">A model is missing or does not fit the manifest.</exception>
        public DeployedPolicy(Bundle bundle, OpenModel open, float[] parameters = null, string observationHash = null)
        {
            string layout = Json.Get(Json.Get(bundle.Manifest, "observation"), "hash") as string;
            if (observationHash != null && layout != observationHash)
                throw new BundleException(
                    $"The bundle's observations are laid out as {layout ?? "nothing"}, the host's as {observationHash}: " +
                    "export the policy of a run with the host's layout, or build the host for this one.");
            object action = Json.Get(bundle.Manifest, "action"), seen = Json.Get(bundle.Manifest, "observe");
            gains = Json.Floats(Json.Get(action, "gains"));
            scale = Json.Floats(Json.Get(action, "scale"));
            squashes = Json.Get(action, "squash") as string == "tanh";
            if (Json.Get(action, "limit") is double number) limit = number;
            else if (Json.Get(action, "limit") is long whole) limit = whole;
            object seconds = Json.Get(Json.Get(bundle.Manifest, "timing"), "control_dt");
            ControlSeconds = seconds is double real ? real : seconds is long count ? count : 0.0;
            infer = Open(bundle, open, parameters == null ? PolicyFile : FineTuning.ModelFile, "infer");
            if (parameters != null) Use(parameters);
            ObservationSize = infer.InputSize("observation");
            ActionSize = infer.OutputSize("action");
            if (!(Json.Get(Json.Get(bundle.Manifest, "observation"), "size") is long size) || size != ObservationSize ||
                !(Json.Get(action, "joints") is List<object> joints) || joints.Count != ActionSize ||
                gains?.Length != ActionSize || scale?.Length != ActionSize || ControlSeconds <= 0.0)
                throw new BundleException("The policy does not fit the manifest of its bundle: export it again.");
            Observation = new float[ObservationSize];
            Action = new float[ActionSize];
            mean = new float[ActionSize];
            logStd = new float[ActionSize];
            motorBase = new float[ActionSize];
            baseNext = new float[ActionSize];
            start = new float[0];
            var names = new List<string>();
            if (seen != null)
            {
                observe = Open(bundle, open, ObserveFile, "observe");
                start = Json.Floats(Json.Get(Json.Get(seen, "carried"), "start"));
                if (start == null || start.Length != observe.InputSize("carried") ||
                    !(Json.Get(seen, "inputs") is Dictionary<string, object> inputs)) throw Unfit();
                foreach (string name in inputs.Keys)
                {
                    if (observe.InputSize(name) == 0) throw Unfit();
                    if (name != "previous_action" && name != "carried") names.Add(name);
                }
            }
            SensorNames = names;
            carriedNext = new float[start.Length];
            Reset();
        }

        static BundleException Unfit() => new BundleException($"{ObserveFile} does not fit the manifest of its bundle: export it again.");

        internal static INamedModel Open(Bundle bundle, OpenModel open, string file, string signature)
        {
            if (!bundle.Files.TryGetValue(file, out byte[] content))
                throw new BundleException($"The bundle has no {file}: export it again, or install it with its training part.");
            return open(file, content, signature);
        }

        /// <summary>Number of floats of a sensor.</summary>
        public int SensorSize(string name) => observe.InputSize(name);

        /// <summary>Simulation steps for which one action holds.</summary>
        /// <exception cref="BundleException">An action does not hold for a whole number of them.</exception>
        public int StepsOfAction(double stepSeconds)
        {
            double steps = ControlSeconds / stepSeconds;
            if (steps < 0.99 || Math.Abs(steps - Math.Round(steps)) > 0.01)
                throw new BundleException(
                    $"The policy acts every {ControlSeconds:0.####} s, which is no multiple of the simulation's " +
                    $"step of {stepSeconds:0.####} s: change that.");
            return (int)Math.Round(steps);
        }

        /// <summary>Begins anew, with the last action at zero.</summary>
        /// <param name="place">what the task remembers, such as the place in the reference</param>
        public void Reset(float[] place = null)
        {
            if (place != null && place.Length != start.Length)
                throw new ArgumentException($"the task remembers {start.Length} numbers");
            carried = (float[])(place ?? start).Clone();
            Array.Clear(motorBase, 0, ActionSize);
            Array.Clear(Action, 0, ActionSize);
        }

        /// <summary>Acts with these parameters from now on, if it was opened with some; they are copied.</summary>
        public void Use(float[] parameters) => infer.Set("params", parameters);

        /// <summary>What the task remembers; not to be changed.</summary>
        public float[] Carried => carried;

        /// <summary>Runs the model on a finite observation without acting.</summary>
        public void Infer(float[] observation)
        {
            infer.Set("observation", observation);
            infer.Run();
        }

        /// <summary>Number of floats of an output of the model; 0 if there is none of that name.</summary>
        public int OutputSize(string name) => infer.OutputSize(name);

        /// <summary>An output of the model for the last finite observation, such as "mean".</summary>
        public void Output(string name, float[] values) => infer.Get(name, values);

        /// <summary>The action for <see cref="Observation"/> or another one.</summary>
        /// <param name="noise">standard normal numbers for a stochastic action; deterministic without</param>
        public float[] Act(float[] observation, float[] noise = null)
        {
            if (observation.Length != ObservationSize) throw new ArgumentException($"observation: give {ObservationSize} numbers");
            if (noise != null && noise.Length != ActionSize) throw new ArgumentException($"noise: give {ActionSize} numbers");
            if (!AllFinite(observation))
            {
                Repeated++;
                return Action;
            }
            Infer(observation);
            if (noise == null)
            {
                infer.Get("action", Action);
                return Action;
            }
            infer.Get("mean", mean);
            infer.Get("log_std", logStd);
            for (int i = 0; i < ActionSize; i++)
            {
                float drawn = mean[i] + (float)Math.Exp(logStd[i]) * noise[i];
                Action[i] = gains[i] * (squashes ? (float)Math.Tanh(drawn) : drawn);
            }
            return Action;
        }

        /// <summary>The observation of what the host has read. What the task remembers goes on with it, unless
        /// it would not be finite.</summary>
        public float[] Observe(IReadOnlyDictionary<string, float[]> sensors)
        {
            if (observe == null) throw new BundleException($"The bundle has no {ObserveFile}: compute observations yourself.");
            foreach (string name in SensorNames)
            {
                if (!sensors.TryGetValue(name, out float[] values) || values == null || values.Length != observe.InputSize(name))
                    throw new BundleException($"The sensor '{name}' is missing or of another size: give {observe.InputSize(name)} numbers.");
                observe.Set(name, values);
            }
            observe.Set("previous_action", Action);
            if (start.Length > 0) observe.Set("carried", carried);
            observe.Run();
            observe.Get("observation", Observation);
            observe.Get("base", baseNext);
            if (start.Length > 0) observe.Get("carried_next", carriedNext);
            if (AllFinite(baseNext) && AllFinite(carriedNext))
            {
                Array.Copy(baseNext, motorBase, ActionSize);
                Array.Copy(carriedNext, carried, start.Length);
            }
            return Observation;
        }

        /// <summary>Motor input of the last action after the last <see cref="Observe"/>.</summary>
        public float[] Control()
        {
            var control = new float[ActionSize];
            for (int i = 0; i < ActionSize; i++)
                control[i] = motorBase[i] + scale[i] * (float)Math.Max(-limit, Math.Min(Action[i], limit));
            return control;
        }

        /// <summary>Motor input for the control step that follows what the host has read.</summary>
        public float[] Step(IReadOnlyDictionary<string, float[]> sensors, float[] noise = null)
        {
            Act(Observe(sensors), noise);
            return Control();
        }

        public void Dispose()
        {
            infer.Dispose();
            observe?.Dispose();
        }

        internal static bool AllFinite(float[] values)
        {
            foreach (float value in values)
                if (float.IsNaN(value) || float.IsInfinity(value)) return false;
            return true;
        }
    }
}
