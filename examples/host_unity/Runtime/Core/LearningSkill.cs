using System;
using System.Collections.Generic;
using System.IO;

namespace Synthjax
{
    /// <summary>
    /// A policy from an installed bundle as a skill that goes on learning while it acts. Its body begins an episode
    /// where the bundle says, whenever one has ended. What was taken is kept, and gone on from at the next start.
    /// </summary>
    public sealed class LearningSkill : ISkill, IDisposable
    {
        readonly FirstLaunch launch;
        readonly ILearningBody body;
        readonly ISteppedBody second;
        readonly OpenModel open;
        readonly Func<Learner, ILearningWorker> start;
        readonly string folder;
        readonly List<INamedModel> models = new List<INamedModel>(); // all that were opened
        EpisodeActor actor;
        bool begun;

        /// <param name="name">of the policy, in its bundle's manifest; install it with its training part</param>
        /// <param name="second">on which new policies are judged</param>
        /// <param name="folder">of what is kept, a file for each bundle</param>
        /// <param name="start">the worker, such as learner => new LearningWorker(learner, throttle)</param>
        public LearningSkill(
            string name, FirstLaunch launch, ILearningBody body, ISteppedBody second, OpenModel open, string folder,
            Func<Learner, ILearningWorker> start)
        {
            Name = name;
            this.launch = launch;
            this.body = body;
            this.second = second;
            this.open = open;
            this.folder = folder;
            this.start = start;
        }

        public string Name { get; }
        public bool IsReady => actor != null;
        public int FrameSkip { get; private set; } = 1;
        /// <summary>Simulated seconds since the last reset.</summary>
        public double Seconds { get; private set; }
        /// <summary>To be set before <see cref="Initialize"/>, as are the next two.</summary>
        public LearningConfig Config { get; set; } = new LearningConfig();
        /// <summary>Of exploration and of starts, on the thread that acts.</summary>
        public IDraws Exploration { get; set; } = new Draws(Environment.TickCount);
        /// <summary>Of shuffling, on the thread that learns.</summary>
        public IDraws Shuffling { get; set; } = new Draws(Environment.TickCount + 1);
        public Learner Learner { get; private set; }
        public ILearningWorker Worker { get; private set; }
        public Foreground Foreground { get; private set; }
        /// <summary>Actions that were repeated, because the observation was not finite.</summary>
        public int Repeated => actor == null ? 0 : actor.Policy.Repeated;

        /// <exception cref="BundleException">The bundle cannot be learned from here; trying again does not help.</exception>
        public bool Initialize()
        {
            if (actor != null) return true;
            if (!launch.IsComplete || !body.Ready || !second.Ready) return false;
            try
            {
                Load(Installer.LoadInstalled(launch.FolderOf(Name)));
            }
            catch
            {
                Dispose();
                throw;
            }
            return true;
        }

        void Load(Bundle bundle)
        {
            var task = new LearningTask(bundle);
            var tuning = new FineTuning(bundle, Open);
            var shipped = (float[])tuning.Vector("params").Clone();
            string kept = Path.Combine(folder, bundle.Digest.Substring(0, 16) + ".f32");
            tuning.Load(kept);
            float[] parameters = tuning.Vector("params");
            DeployedPolicy acting = new DeployedPolicy(bundle, Open, parameters), judged = new DeployedPolicy(bundle, Open, parameters);
            FrameSkip = acting.StepsOfAction(body.StepSeconds);
            // Every second start is held out.
            List<EpisodeStart> own = new List<EpisodeStart>(), heldOut = new List<EpisodeStart>();
            for (int i = 0; i < task.Starts.Count; i++) (i % 2 == 0 ? own : heldOut).Add(task.Starts[i]);
            if (heldOut.Count > Config.Episodes) heldOut.RemoveRange(Config.Episodes, heldOut.Count - Config.Episodes);
            Learner = new Learner(
                bundle, Open, task, tuning, shipped, judged, second, FrameSkip, heldOut, Config, Shuffling, taken => tuning.Save(kept));
            var loaded = new EpisodeActor(bundle, Open, task, acting, body);
            Worker = start(Learner);
            Foreground = new Foreground(loaded, Learner, Worker, own, Exploration);
            actor = loaded;
        }

        INamedModel Open(string file, byte[] content, string signature)
        {
            INamedModel opened = open(file, content, signature);
            models.Add(opened);
            return opened;
        }

        public float[] Act()
        {
            if (actor == null) return null;
            float[] control = begun ? Foreground.Next() : Foreground.Begin();
            begun = true;
            return control;
        }

        public void AdvanceTime(float seconds) => Seconds += seconds;

        /// <summary>The next action begins an episode.</summary>
        public void Reset()
        {
            Seconds = 0.0;
            begun = false;
        }

        public void Dispose()
        {
            Worker?.Stop();
            foreach (INamedModel model in models) model.Dispose();
            models.Clear();
            actor = null;
        }
    }
}
