using System;

namespace Synthjax
{
    /// <summary>With what the policy that acted made of every observation.</summary>
    public sealed class PpoRollout : Rollout
    {
        public float[] Mean { get; }
        public double[] Value { get; }
        public double[] NextValue { get; } // of the true next observation

        public PpoRollout(int size, int observationSize, int actionSize) : base(size, observationSize, actionSize)
        {
            Mean = new float[size * actionSize];
            Value = new double[size];
            NextValue = new double[size];
        }

        public override void Add(Seen seen, float[] action, Outcome outcome, Seen following)
        {
            Array.Copy(seen.Mean, 0, Mean, Rows * actionSize, actionSize);
            Value[Rows] = seen.Value;
            // If what follows is not known, the episode is cut here, as by a time limit.
            NextValue[Rows] = (following ?? seen).Value;
            Append(seen, action, outcome, outcome.Done || following == null);
        }

        /// <summary>
        /// GAE (Schulman et al. 2016, equation 16) with terminations and time limits told apart, normalised over
        /// the rollout and then limited; and the values' targets, A + V.
        /// </summary>
        public void Advantages(LearningTask task, out float[] advantages, out float[] targets)
        {
            double gamma = task.Setting("gamma"), lambda = task.Setting("gae_lambda");
            double scale = task.Setting("reward_scale"), limit = task.Setting("advantage_clip");
            var raw = new double[Size];
            targets = new float[Size];
            double advantage = 0.0, sum = 0.0, squares = 0.0;
            for (int t = Size - 1; t >= 0; t--)
            {
                double delta = scale * Reward[t] + gamma * (Terminated[t] ? 0.0 : NextValue[t]) - Value[t];
                advantage = delta + (Done[t] ? 0.0 : gamma * lambda * advantage);
                raw[t] = advantage;
                targets[t] = (float)(advantage + Value[t]);
                sum += advantage;
            }
            double mean = sum / Size;
            foreach (double value in raw) squares += (value - mean) * (value - mean);
            double deviation = Math.Sqrt(squares / Size) + 1e-8;
            advantages = new float[Size];
            for (int t = 0; t < Size; t++)
                advantages[t] = (float)Math.Max(-limit, Math.Min((raw[t] - mean) / deviation, limit));
        }
    }
}
