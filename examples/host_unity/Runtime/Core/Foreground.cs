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
        /// <summary>What an action was chosen by, and the action.</summary>
        sealed class Choice
        {
            public float[] Observation, Mean, Action;
            public double Value;
        }

        readonly EpisodeActor actor;
        readonly Learner learner;
        readonly ILearningWorker worker;
        readonly IReadOnlyList<EpisodeStart> starts;
        readonly IDraws draws;
        readonly int size;
        readonly float[] noise, value = new float[1];
        Snapshot used;
        Rollout rollout;
        Choice choice; // of the control step that goes on; null if its action is one that was repeated
        float[] control;

        /// <param name="size">control steps of a rollout</param>
        public Foreground(
            EpisodeActor actor, Learner learner, ILearningWorker worker, IReadOnlyList<EpisodeStart> starts, IDraws draws, int size)
        {
            this.actor = actor;
            this.learner = learner;
            this.worker = worker;
            this.starts = starts;
            this.draws = draws;
            this.size = size;
            noise = new float[actor.Policy.ActionSize];
            rollout = NewRollout();
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
            Choice done = choice;
            double? following = null;
            if (outcome.Terminated) Begin();
            else if (outcome.Truncated)
            {
                float[] seen = actor.Observe();
                if (DeployedPolicy.AllFinite(seen))
                {
                    actor.Policy.Infer(seen);
                    following = Value();
                }
                Begin();
            }
            else
            {
                Act(actor.Observe());
                following = choice?.Value;
            }
            if (done == null) return control;
            rollout.Add(done.Observation, done.Mean, done.Value, done.Action, outcome, following);
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
            choice = null;
            if (policy.Repeated != repeated) return;
            choice = new Choice
            {
                Observation = (float[])observation.Clone(), Mean = new float[noise.Length], Action = (float[])policy.Action.Clone(),
                Value = Value(),
            };
            policy.Output("mean", choice.Mean);
        }

        double Value()
        {
            actor.Policy.Output("value", value);
            return value[0];
        }

        void HandOver()
        {
            // While the worker is busy, or nothing is to be learned, what is newest counts.
            if (Learning && !worker.Busy) worker.Learn(rollout);
            rollout = NewRollout();
        }

        Rollout NewRollout() => new Rollout(size, actor.Policy.ObservationSize, actor.Policy.ActionSize);
    }
}
