using System;
using System.Collections.Generic;

namespace Synthjax
{
    /// <summary>How a round learns and what is taken of it; the defaults are those of "synthjax finetune".</summary>
    public sealed class LearningConfig
    {
        public int RolloutSteps = 2048; // control steps of a round
        public int Epochs = 4; // over them; PPO
        public double RoundKl = 0.1; // nats per action, from which on the policy that has acted is left no further; PPO
        public double SamplesPerStep = 4.0; // update-to-data ratio: transitions learned from per control step; SAC
        public int Capacity = 32768; // transitions that the replay holds, the newest ones; SAC
        public double KlBound = 40.0; // nats per action, of the divergence from the shipped policy
        public int Episodes = 16; // held out, by which a policy is judged
        public int ControlStepsPerTurn = 4; // of those episodes between two admissions, less than a train step's time
    }

    /// <summary>A policy that was taken. Nothing in it ever changes, so that one reference is the whole of it.</summary>
    public sealed class Snapshot
    {
        public IReadOnlyDictionary<string, float[]> Vectors { get; }
        public int Rounds { get; } // of learning that led here
        public double Kl { get; } // from the shipped policy, nats per action

        public float[] Parameters => Vectors["params"];

        public Snapshot(IReadOnlyDictionary<string, float[]> vectors, int rounds, double kl)
        {
            Vectors = vectors;
            Rounds = rounds;
            Kl = kl;
        }
    }

    /// <summary>What came of one round.</summary>
    public sealed class RoundResult
    {
        public int Number, Steps; // train steps so far, those of rejected rounds included
        public bool Taken;
        public double? Reward; // mean return of the held-out episodes; null: there were none
        public double Best; // the same of the best policy that was taken
        public double Kl, Share; // see Anchor
    }

    /// <summary>
    /// Rounds of learning: train steps, the anchor, and the judgement of held-out episodes. A round gives way after
    /// every small piece of work, so that whoever runs it decides when the next may begin. The policy that acts is
    /// <see cref="Current"/>; it is replaced, in one assignment, by a policy that has been judged, and by no
    /// other. The port of synthjax/deploy/tuning/learner.py.
    /// </summary>
    public sealed class Learner
    {
        const int AnchorRows = 256; // observations of a rollout that stand for it in the divergence

        readonly FineTuning tuning;
        readonly LearningConfig config;
        readonly IDraws draws;
        readonly EpisodeActor judge;
        readonly ISteppedBody body;
        readonly int substeps;
        readonly IReadOnlyList<EpisodeStart> heldOut;
        readonly LearningAgent agent;
        readonly Anchor anchor;
        readonly Action<Snapshot> accepted;
        volatile Snapshot current;
        volatile RoundResult last;
        double[] best; // returns of the best policy that was taken
        int rounds;

        /// <summary>The policy that acts; from any thread.</summary>
        public Snapshot Current => current;
        /// <summary>An empty rollout; from any thread.</summary>
        public Rollout NewRollout() => agent.NewRollout();
        /// <summary>What came of the last round, or null; from any thread.</summary>
        public RoundResult Last => last;

        /// <param name="tuning">goes on from its vectors; the learner's from now on</param>
        /// <param name="shipped">parameters of the bundle's policy</param>
        /// <param name="policy">opened with parameters; the learner's from now on</param>
        /// <param name="body">on which held-out episodes are played</param>
        /// <param name="substeps">simulation steps of a control step</param>
        /// <param name="accepted">is told of every policy before it acts</param>
        /// <exception cref="BundleException">The bundle cannot be learned from, or the settings do not fit it.</exception>
        public Learner(
            Bundle bundle, OpenModel open, LearningTask task, FineTuning tuning, float[] shipped, DeployedPolicy policy,
            ISteppedBody body, int substeps, IReadOnlyList<EpisodeStart> heldOut, LearningConfig config, IDraws draws, Action<Snapshot> accepted)
        {
            this.tuning = tuning;
            this.config = config;
            this.draws = draws;
            this.body = body;
            this.substeps = substeps;
            this.heldOut = heldOut;
            this.accepted = accepted;
            agent = LearningAgent.Of(tuning, task, config, draws);
            judge = new EpisodeActor(bundle, open, task, policy, body);
            anchor = new Anchor(bundle, open, policy, shipped, agent, config.KlBound);
            current = new Snapshot(tuning.Copied(), 0, 0.0);
        }

        /// <summary>
        /// Learns from a full rollout, and takes the new policy if it is as good as the best one. Otherwise all that
        /// was learned is given up; so it is without an episode if a number is not finite, or if the policy does not
        /// come within the bound.
        /// </summary>
        public IEnumerable<object> Round(Rollout rollout)
        {
            if (best == null)
            {
                best = new double[heldOut.Count];
                foreach (object piece in Episodes(current.Parameters, best)) yield return piece;
            }
            tuning.Restore(current.Vectors);
            foreach (object piece in agent.Learn(rollout)) yield return piece;
            if (!agent.Finite)
            {
                Note(false, null, current.Kl, 0.0);
                yield break;
            }
            foreach (object piece in anchor.Within(tuning.Vector("params"), Sample(rollout))) yield return piece;
            if (!anchor.Found)
            {
                Note(false, null, current.Kl, 0.0);
                yield break;
            }
            var candidate = new Snapshot(tuning.Copied(), current.Rounds + 1, anchor.Kl);
            var returns = new double[heldOut.Count];
            foreach (object piece in Episodes(candidate.Parameters, returns)) yield return piece;
            Decide(candidate, returns);
        }

        List<float[]> Sample(Rollout rollout)
        {
            int width = judge.Policy.ObservationSize;
            int[] order = draws.Order(rollout.Size);
            var rows = new List<float[]>();
            for (int i = 0; i < Math.Min(AnchorRows, rollout.Size); i++)
            {
                var row = new float[width];
                Array.Copy(rollout.Observation, order[i] * width, row, 0, width);
                rows.Add(row);
            }
            return rows;
        }

        void Decide(Snapshot candidate, double[] returns)
        {
            double difference = 0.0, squares = 0.0;
            for (int i = 0; i < returns.Length; i++) difference += (returns[i] - best[i]) / returns.Length;
            for (int i = 0; i < returns.Length; i++) squares += Math.Pow(returns[i] - best[i] - difference, 2) / returns.Length;
            // A policy counts as worse if it is so by more than the error of the comparison.
            bool taken = difference >= -Math.Sqrt(squares / returns.Length);
            if (taken)
            {
                accepted(candidate);
                current = candidate;
                if (difference > 0.0) best = returns;
            }
            Note(taken, Mean(returns), candidate.Kl, anchor.Share);
        }

        void Note(bool taken, double? reward, double kl, double share)
        {
            last = new RoundResult
            {
                Number = ++rounds, Steps = agent.Steps, Taken = taken, Reward = reward, Best = Mean(best), Kl = kl, Share = share,
            };
        }

        /// <summary>The held-out episodes, without noise; gives way every few control steps.</summary>
        IEnumerable<object> Episodes(float[] parameters, double[] returns)
        {
            judge.Policy.Use(parameters);
            int count = 0;
            for (int i = 0; i < heldOut.Count; i++)
            {
                judge.Begin(heldOut[i]);
                Outcome outcome;
                do
                {
                    body.Step(judge.Act(judge.Observe(), null), substeps);
                    outcome = judge.Judge();
                    returns[i] += outcome.Reward;
                    if (++count % config.ControlStepsPerTurn == 0) yield return null;
                }
                while (!outcome.Done);
            }
        }

        static double Mean(double[] values)
        {
            double sum = 0.0;
            foreach (double value in values) sum += value;
            return sum / values.Length;
        }
    }
}
