using System;
using System.Collections.Generic;

namespace Synthjax
{
    /// <summary>
    /// Rollouts go into a replay, and each is followed by steps on samples of all of it: the port of
    /// synthjax/deploy/tuning/sac.py.
    /// </summary>
    public sealed class SacAgent : LearningAgent
    {
        static readonly string[] Columns = { "observation", "action", "reward", "next_observation", "discount" };

        readonly Replay replay;

        public override int AnchoredStart => task.PolicyStart;
        public override int AnchoredSize => task.PolicySize;

        /// <exception cref="BundleException">The settings do not fit together.</exception>
        public SacAgent(FineTuning tuning, LearningTask task, LearningConfig config, IDraws draws)
            : base(tuning, task, config, draws, "reward")
        {
            if (config.Capacity < config.RolloutSteps)
                throw new BundleException($"The replay has room for {config.Capacity} transitions: give at least those of a rollout, {config.RolloutSteps}.");
            var widths = new Dictionary<string, int>();
            foreach (string name in Columns) widths[name] = minibatch[name].Length / rows;
            replay = new Replay(config.Capacity, widths);
        }

        protected override Rollout NewRollout(int size, int observationSize, int actionSize) =>
            new SacRollout(size, observationSize, actionSize);

        /// <summary>
        /// The policy is the average of those after the steps (Polyak and Juditsky 1992), as what was exported is an
        /// average.
        /// </summary>
        public override IEnumerable<object> Learn(Rollout rollout)
        {
            replay.Add(((SacRollout)rollout).Transitions(task), rollout.Size);
            yield return null;
            int steps = Math.Max(1, (int)Math.Round(config.SamplesPerStep * rollout.Size / rows));
            var average = new double[AnchoredSize];
            for (int count = 1; count <= steps; count++)
            {
                replay.Sample(minibatch, rows, draws);
                foreach (string name in new[] { "noise", "next_noise" })
                    for (int i = 0; i < minibatch[name].Length; i++) minibatch[name][i] = (float)draws.Normal();
                Step();
                if (!Finite) yield break;
                float[] parameters = tuning.Vector("params");
                for (int i = 0; i < average.Length; i++) average[i] += (parameters[AnchoredStart + i] - average[i]) / count;
                yield return null;
            }
            for (int i = 0; i < average.Length; i++) tuning.Vector("params")[AnchoredStart + i] = (float)average[i];
        }
    }
}
