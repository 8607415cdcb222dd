using System;
using System.Collections.Generic;

namespace Synthjax
{
    /// <summary>What a body's brain asks of a skill, as in synth-core.</summary>
    public interface ISkill
    {
        string Name { get; }
        bool IsReady { get; }
        /// <summary>Simulation steps for which one action holds.</summary>
        int FrameSkip { get; }
        /// <summary>False: not yet; to be called again at the next simulation step.</summary>
        bool Initialize();
        /// <summary>The motor input of each joint in the bundle's order, or null if there is none yet.</summary>
        float[] Act();
        /// <summary>The simulation went on by <paramref name="seconds"/>.</summary>
        void AdvanceTime(float seconds);
        void Reset();
    }

    /// <summary>Reads the simulator; bodies and joints in the order of the manifest.</summary>
    public interface ISensors
    {
        /// <summary>False while the simulator has not begun.</summary>
        bool Ready { get; }
        /// <summary>Seconds of one simulation step.</summary>
        double StepSeconds { get; }
        /// <summary>Fills in a sensor by its name under observe.inputs in the manifest.</summary>
        void Read(string name, float[] values);
    }

    /// <summary>A policy from an installed bundle as a skill.</summary>
    public sealed class PolicySkill : ISkill, IDisposable
    {
        readonly FirstLaunch launch;
        readonly ISensors sensors;
        readonly OpenModel open;
        readonly IDraws draws; // null: deterministic
        readonly bool learns;
        readonly Dictionary<string, float[]> read = new Dictionary<string, float[]>();
        DeployedPolicy policy;
        float[] noise;

        /// <param name="name">of the policy, in its bundle's manifest</param>
        /// <param name="seed">of stochastic actions; deterministic ones without</param>
        /// <param name="learns">whether it has <see cref="Tuning"/></param>
        public PolicySkill(string name, FirstLaunch launch, ISensors sensors, OpenModel open, int? seed = null, bool learns = false)
        {
            Name = name;
            this.launch = launch;
            this.sensors = sensors;
            this.open = open;
            this.learns = learns;
            draws = seed is int given ? new Draws(given) : null;
        }

        public string Name { get; }
        public bool IsReady => policy != null;
        public int FrameSkip { get; private set; } = 1;
        /// <summary>Simulated seconds since the last reset. The place in the reference goes on with every action,
        /// inside the model.</summary>
        public double Seconds { get; private set; }
        public DeployedPolicy Policy => policy;
        /// <summary>The gradient steps, if it learns: what they make is the policy's with <see cref="DeployedPolicy.Use"/>.</summary>
        public FineTuning Tuning { get; private set; }

        /// <exception cref="BundleException">The bundle cannot be used here; trying again does not help.</exception>
        public bool Initialize()
        {
            if (policy != null) return true;
            if (!launch.IsComplete || !sensors.Ready) return false;
            Bundle bundle = Installer.LoadInstalled(launch.FolderOf(Name));
            FineTuning tuning = learns ? new FineTuning(bundle, open) : null;
            var loaded = new DeployedPolicy(bundle, open, tuning?.Vector("params"));
            try
            {
                FrameSkip = loaded.StepsOfAction(sensors.StepSeconds);
            }
            catch
            {
                loaded.Dispose();
                tuning?.Dispose();
                throw;
            }
            foreach (string name in loaded.SensorNames) read[name] = new float[loaded.SensorSize(name)];
            noise = draws == null ? null : new float[loaded.ActionSize];
            policy = loaded;
            Tuning = tuning;
            Reset();
            return true;
        }

        public float[] Act()
        {
            if (policy == null) return null;
            foreach (var sensor in read) sensors.Read(sensor.Key, sensor.Value);
            for (int i = 0; noise != null && i < noise.Length; i++) noise[i] = (float)draws.Normal();
            return policy.Step(read, noise);
        }

        public void AdvanceTime(float seconds) => Seconds += seconds;

        public void Reset()
        {
            Seconds = 0.0;
            policy?.Reset();
        }

        public void Dispose()
        {
            policy?.Dispose();
            Tuning?.Dispose();
            policy = null;
            Tuning = null;
        }
    }
}
