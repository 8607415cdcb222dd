using System.Collections.Generic;

namespace Synthjax
{
    /// <summary>What differs between agents: what is kept of a life, and how train steps learn from it. The port of
    /// synthjax/deploy/tuning/agents.py.</summary>
    public abstract class LearningAgent
    {
        protected readonly FineTuning tuning;
        protected readonly LearningTask task;
        protected readonly LearningConfig config;
        protected readonly IDraws draws;
        protected readonly Dictionary<string, float[]> minibatch = new Dictionary<string, float[]>();
        protected readonly int rows; // of a minibatch
        readonly int observationSize, actionSize;

        /// <summary>Train steps so far.</summary>
        public int Steps { get; private set; }
        /// <summary>Whether the result of the last train step is finite.</summary>
        public bool Finite { get; private set; }
        /// <summary>The part of the parameters that is drawn towards the shipped policy.</summary>
        public virtual int AnchoredStart => 0;
        public virtual int AnchoredSize => tuning.Vector("params").Length;

        protected LearningAgent(FineTuning tuning, LearningTask task, LearningConfig config, IDraws draws, string scalar)
        {
            this.tuning = tuning;
            this.task = task;
            this.config = config;
            this.draws = draws;
            foreach (string name in tuning.MinibatchNames) minibatch[name] = new float[tuning.MinibatchSize(name)];
            rows = tuning.MinibatchSize(scalar);
            if (rows == 0) throw new BundleException("The bundle's minibatch is of another algorithm: export it again.");
            observationSize = tuning.MinibatchSize("observation") / rows;
            actionSize = tuning.MinibatchSize("action") / rows;
        }

        /// <summary>That of the bundle's algorithm.</summary>
        /// <exception cref="BundleException">The settings do not fit the bundle.</exception>
        public static LearningAgent Of(FineTuning tuning, LearningTask task, LearningConfig config, IDraws draws)
        {
            if (task.Algorithm == "sac") return new SacAgent(tuning, task, config, draws);
            return new PpoAgent(tuning, task, config, draws);
        }

        /// <summary>An empty one, of as many steps as a round begins with.</summary>
        public Rollout NewRollout() => NewRollout(config.RolloutSteps, observationSize, actionSize);

        protected abstract Rollout NewRollout(int size, int observationSize, int actionSize);

        /// <summary>A round's train steps on a full rollout of <see cref="NewRollout()"/>, the agent's from then on. What
        /// is learned is in the vectors of <see cref="FineTuning"/>. Gives way after each step.</summary>
        public abstract IEnumerable<object> Learn(Rollout rollout);

        protected void Step()
        {
            Finite = tuning.Step(minibatch);
            Steps++;
        }
    }
}
