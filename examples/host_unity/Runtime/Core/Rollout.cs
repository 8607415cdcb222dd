using System;

namespace Synthjax
{
    /// <summary>
    /// What the acting body has lived through since the last round, for PPO: the port of
    /// synthjax/deploy/tuning/rollout.py, ppo.py and advantages.py. Row t is of step t.
    /// </summary>
    public sealed class Rollout
    {
        readonly int observationSize, actionSize;

        public int Size { get; }
        public int Rows { get; private set; }
        public bool Full => Rows == Size;
        public float[] Observation { get; } // Size rows one after another, as the next two
        public float[] Action { get; }
        public float[] Mean { get; }
        public double[] Reward { get; }
        public double[] Value { get; }
        public double[] NextValue { get; } // of the true next observation
        public bool[] Terminated { get; }
        public bool[] Done { get; }

        public Rollout(int size, int observationSize, int actionSize)
        {
            Size = size;
            this.observationSize = observationSize;
            this.actionSize = actionSize;
            Observation = new float[size * observationSize];
            Action = new float[size * actionSize];
            Mean = new float[size * actionSize];
            Reward = new double[size];
            Value = new double[size];
            NextValue = new double[size];
            Terminated = new bool[size];
            Done = new bool[size];
        }

        /// <summary>One step.</summary>
        /// <param name="following">value of what was seen after it, before any reset; null where the task has
        /// ended, and where it is not known: there the episode is cut, as by a time limit</param>
        public void Add(float[] observation, float[] mean, double value, float[] action, Outcome outcome, double? following)
        {
            Array.Copy(observation, 0, Observation, Rows * observationSize, observationSize);
            Array.Copy(mean, 0, Mean, Rows * actionSize, actionSize);
            Array.Copy(action, 0, Action, Rows * actionSize, actionSize);
            Reward[Rows] = outcome.Reward;
            Value[Rows] = value;
            NextValue[Rows] = following ?? value;
            Terminated[Rows] = outcome.Terminated;
            Done[Rows] = outcome.Done || following == null;
            Rows++;
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
