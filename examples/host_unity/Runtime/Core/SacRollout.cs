using System;
using System.Collections.Generic;

namespace Synthjax
{
    /// <summary>With the true next observation of every step.</summary>
    public sealed class SacRollout : Rollout
    {
        public float[] NextObservation { get; }

        public SacRollout(int size, int observationSize, int actionSize) : base(size, observationSize, actionSize)
        {
            NextObservation = new float[size * observationSize];
        }

        public override void Add(Seen seen, float[] action, Outcome outcome, Seen following)
        {
            if (following == null && !outcome.Terminated)
            {
                // There is nothing to bootstrap from. What came before ends as at a time limit.
                if (Rows > 0) Done[Rows - 1] = true;
                return;
            }
            // After a termination any finite observation will do, as its value does not count.
            Array.Copy((following ?? seen).Observation, 0, NextObservation, Rows * observationSize, observationSize);
            Append(seen, action, outcome, outcome.Done);
        }

        /// <summary>
        /// A transition of each step, by column: the n-step return (Watkins 1989) of a window that ends with its
        /// episode and with the rollout, the observation after it, and the discount of the value there. The average
        /// reward is taken from each, and after a termination from the nothings that follow for ever.
        /// </summary>
        public Dictionary<string, float[]> Transitions(LearningTask task)
        {
            double gamma = task.Setting("gamma"), rate = task.Setting("reward_rate");
            int n = (int)task.Setting("n_step");
            float[] returns = new float[Size], discounts = new float[Size], next = new float[NextObservation.Length];
            for (int t = 0; t < Size; t++)
            {
                double total = 0.0, factor = 1.0;
                int last = t;
                for (int k = 0; k < n && t + k < Size && (k == 0 || !Done[t + k - 1]); k++)
                {
                    last = t + k;
                    total += factor * (Reward[last] - rate);
                    factor *= gamma;
                }
                if (Terminated[last]) total -= factor * rate / (1.0 - gamma);
                returns[t] = (float)total;
                discounts[t] = Terminated[last] ? 0f : (float)factor;
                Array.Copy(NextObservation, last * observationSize, next, t * observationSize, observationSize);
            }
            return new Dictionary<string, float[]>
            {
                ["observation"] = Observation, ["action"] = Action, ["reward"] = returns, ["next_observation"] = next,
                ["discount"] = discounts,
            };
        }
    }
}
