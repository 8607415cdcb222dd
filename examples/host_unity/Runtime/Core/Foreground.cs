using System;
using System.Collections.Generic;

namespace Synthjax
{
    /// <summary>
    /// The body that lives while its policy is learned: explores, gathers rollouts, and hands each to the worker
    /// once it is full. The port of synthjax/deploy/tuning/foreground.py.
    /// </summary>
    public sealed class Foreground
    {
        readonly EpisodeActor actor;
        readonly Learner learner;
        readonly ILearningWorker worker;
        readonly IReadOnlyList<EpisodeStart> starts;
        readonly IDraws draws;
        readonly float[] noise, value = new float[1];
        Snapshot used;
        Rollout rollout;
        Seen chosen; // what the action that goes on was chosen by; null if it is one that was repeated
        float[] action, control;

        public Foreground(
            EpisodeActor actor, Learner learner, ILearningWorker worker, IReadOnlyList<EpisodeStart> starts, IDraws draws)
        {
            this.actor = actor;
            this.learner = learner;
            this.worker = worker;
            this.starts = starts;
            this.draws = draws;
            noise = new float[actor.Policy.ActionSize];
            rollout = learner.NewRollout();
        }

        /// <summary>Whether full rollouts are learned from.</summary>
        public bool Learning { get; set; } = true;

        /// <summary>Begins an episode; gives the motor input of its first control step.</summary>
        public float[] Begin()
        {
            actor.Begin(starts[draws.Below(starts.Count)]);
            Act(actor.Observe());
            return control;
        }

        /// <summary>After a control step: the motor input of the next one.</summary>
        public float[] Next()
        {
            Outcome outcome = actor.Judge();
            Seen before = chosen, following = null;
            float[] taken = action;
            if (outcome.Terminated) Begin();
            else if (outcome.Truncated)
            {
                float[] seen = actor.Observe();
                if (DeployedPolicy.AllFinite(seen))
                {
                    actor.Policy.Infer(seen);
                    following = Made(seen);
                }
                Begin();
            }
            else
            {
                Act(actor.Observe());
                following = chosen;
            }
            if (before == null) return control;
            rollout.Add(before, taken, outcome, following);
            if (rollout.Full) HandOver();
            return control;
        }

        void Act(float[] observation)
        {
            DeployedPolicy policy = actor.Policy;
            Snapshot taken = learner.Current;
            if (taken != used) policy.Use((used = taken).Parameters);
            for (int i = 0; i < noise.Length; i++) noise[i] = (float)draws.Normal();
            int repeated = policy.Repeated;
            control = actor.Act(observation, noise);
            // Of an action that is only repeated nothing is learned: the policy has not chosen it.
            chosen = policy.Repeated == repeated ? Made(observation) : null;
            action = (float[])policy.Action.Clone();
        }

        /// <summary>What the model has made of the observation that it was just run on.</summary>
        Seen Made(float[] observation)
        {
            var seen = new Seen { Observation = (float[])observation.Clone(), Mean = new float[noise.Length] };
            actor.Policy.Output("mean", seen.Mean);
            if (actor.Policy.OutputSize("value") == 0) return seen;
            actor.Policy.Output("value", value);
            seen.Value = value[0];
            return seen;
        }

        void HandOver()
        {
            // While the worker is busy, or nothing is to be learned, what is newest counts.
            if (Learning && !worker.Busy) worker.Learn(rollout);
            rollout = learner.NewRollout();
        }
    }
}
