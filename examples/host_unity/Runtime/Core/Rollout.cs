using System;

namespace Synthjax
{
    /// <summary>A finite observation, and what the policy that acts makes of it.</summary>
    public sealed class Seen
    {
        public float[] Observation, Mean;
        public double Value; // of PPO alone
    }

    /// <summary>
    /// What the acting body has lived through since the last round, for an agent's own train step: the port of
    /// synthjax/deploy/tuning/rollout.py. Row t is of step t.
    /// </summary>
    public abstract class Rollout
    {
        protected readonly int observationSize, actionSize;

        public int Size { get; }
        public int Rows { get; private set; }
        public bool Full => Rows == Size;
        public float[] Observation { get; } // Size rows one after another, as the actions
        public float[] Action { get; }
        public double[] Reward { get; }
        public bool[] Terminated { get; }
        public bool[] Done { get; }

        protected Rollout(int size, int observationSize, int actionSize)
        {
            Size = size;
            this.observationSize = observationSize;
            this.actionSize = actionSize;
            Observation = new float[size * observationSize];
            Action = new float[size * actionSize];
            Reward = new double[size];
            Terminated = new bool[size];
            Done = new bool[size];
        }

        /// <summary>One step.</summary>
        /// <param name="following">what was seen after it, before any reset; null where the task has ended, and
        /// where it is not known</param>
        public abstract void Add(Seen seen, float[] action, Outcome outcome, Seen following);

        protected void Append(Seen seen, float[] action, Outcome outcome, bool done)
        {
            Array.Copy(seen.Observation, 0, Observation, Rows * observationSize, observationSize);
            Array.Copy(action, 0, Action, Rows * actionSize, actionSize);
            Reward[Rows] = outcome.Reward;
            Terminated[Rows] = outcome.Terminated;
            Done[Rows] = done;
            Rows++;
        }
    }
}
