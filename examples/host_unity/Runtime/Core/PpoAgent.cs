using System;
using System.Collections.Generic;

namespace Synthjax
{
    /// <summary>
    /// Each rollout is learned from in a few epochs of shuffled minibatches, and forgotten: the port of
    /// synthjax/deploy/tuning/ppo.py.
    /// </summary>
    public sealed class PpoAgent : LearningAgent
    {
        const string Rate = "learning_rate";
        const double RateFactor = 1.3;

        /// <exception cref="BundleException">The settings do not fit the bundle.</exception>
        public PpoAgent(FineTuning tuning, LearningTask task, LearningConfig config, IDraws draws)
            : base(tuning, task, config, draws, "advantage")
        {
            if (config.RolloutSteps < rows || config.RolloutSteps % rows != 0)
                throw new BundleException($"The rollout has {config.RolloutSteps} steps: give a multiple of {rows}, the size of a minibatch.");
        }

        protected override Rollout NewRollout(int size, int observationSize, int actionSize) =>
            new PpoRollout(size, observationSize, actionSize);

        /// <summary>
        /// The epochs, or less: they end once the policy is RoundKl from the one that has acted.
        /// </summary>
        public override IEnumerable<object> Learn(Rollout lived)
        {
            var rollout = (PpoRollout)lived;
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
            do
            {
                foreach (KeyValuePair<string, float[]> column in minibatch)
                    Gather(batch[column.Key], order, steps * rows, column.Value);
                Step();
                steps++;
                // The step adapts the rate for batches of many bodies; here it is held in a round, adapted between.
                tuning.Vector(Rate)[0] = rate;
                kl = tuning.Metric("kl");
                yield return null;
            }
            while (Finite && steps < planned && kl <= config.RoundKl);
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
