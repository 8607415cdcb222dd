using System;
using System.Collections.Generic;

namespace Synthjax
{
    /// <summary>
    /// A round's train steps: a few epochs of shuffled minibatches over a rollout, the port of
    /// synthjax/deploy/tuning/ppo.py.
    /// </summary>
    public sealed class PpoRound
    {
        const string Rate = "learning_rate";
        const double RateFactor = 1.3;

        readonly FineTuning tuning;
        readonly LearningTask task;
        readonly LearningConfig config;
        readonly IDraws draws;
        readonly Dictionary<string, float[]> minibatch = new Dictionary<string, float[]>();
        readonly int rows;

        /// <summary>Train steps so far.</summary>
        public int Steps { get; private set; }
        /// <summary>Whether the result of the last round is finite.</summary>
        public bool Finite { get; private set; }

        /// <exception cref="BundleException">The settings do not fit the bundle.</exception>
        public PpoRound(FineTuning tuning, LearningTask task, LearningConfig config, IDraws draws)
        {
            this.tuning = tuning;
            this.task = task;
            this.config = config;
            this.draws = draws;
            foreach (string name in tuning.MinibatchNames) minibatch[name] = new float[tuning.MinibatchSize(name)];
            rows = tuning.MinibatchSize("advantage");
            if (rows == 0 || config.RolloutSteps < rows || config.RolloutSteps % rows != 0)
                throw new BundleException($"The rollout has {config.RolloutSteps} steps: give a multiple of {rows}, the size of a minibatch.");
        }

        /// <summary>
        /// The epochs, or less: they end once the policy is RoundKl from the one that has acted. What is learned is
        /// in the vectors of <see cref="FineTuning"/>. Gives way after each step.
        /// </summary>
        public IEnumerable<object> Learn(Rollout rollout)
        {
            rollout.Advantages(task, out float[] advantages, out float[] targets);
            var batch = new Dictionary<string, float[]>
            {
                ["observation"] = rollout.Observation, ["action"] = rollout.Action, ["mean"] = rollout.Mean,
                ["advantage"] = advantages, ["target"] = targets,
            };
            yield return null;
            float rate = tuning.Vector(Rate)[0];
            double kl = 0.0;
            int steps = 0, planned = config.Epochs * (rollout.Size / rows);
            var order = new List<int>();
            for (int epoch = 0; epoch < config.Epochs; epoch++) order.AddRange(draws.Order(rollout.Size));
            Finite = true;
            while (Finite && steps < planned && kl <= config.RoundKl)
            {
                foreach (KeyValuePair<string, float[]> column in minibatch)
                    Gather(batch[column.Key], order, steps * rows, column.Value);
                Finite = tuning.Step(minibatch);
                Steps++;
                steps++;
                // The step adapts the rate for batches of many bodies; here it is held in a round, adapted between.
                tuning.Vector(Rate)[0] = rate;
                kl = tuning.Metric("kl");
                yield return null;
            }
            tuning.Vector(Rate)[0] = rate * (float)Faster(kl, (double)steps / planned);
        }

        double Faster(double kl, double share)
        {
            if (share < 0.5) return 1.0 / RateFactor;
            return kl < 0.5 * config.RoundKl ? RateFactor : 1.0;
        }

        void Gather(float[] column, List<int> order, int first, float[] to)
        {
            int width = to.Length / rows;
            for (int row = 0; row < rows; row++) Array.Copy(column, order[first + row] * width, to, row * width, width);
        }
    }
}
