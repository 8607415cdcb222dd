using System;
using System.Collections.Generic;

namespace Synthjax
{
    /// <summary>A body whose episodes the learning begins, such as the one in the scene.</summary>
    public interface ILearningBody : ISensors
    {
        /// <summary>False once a number is not finite or the simulator has given the body up.</summary>
        bool Sound { get; }
        /// <summary>Puts the body into this pose with these velocities, as MuJoCo's qpos and qvel.</summary>
        void Begin(float[] qpos, float[] qvel);
    }

    /// <summary>Another body of the same model, which only the thread that learns reads and steps: in MuJoCo a
    /// second mjData. New policies are judged on it before they act.</summary>
    public interface ISteppedBody : ILearningBody
    {
        /// <summary>Simulation steps under this motor input of each joint.</summary>
        void Step(float[] control, int steps);
    }

    /// <summary>What a control step has led to.</summary>
    public struct Outcome
    {
        public double Reward;
        public bool Terminated; // the task has ended: no bootstrap
        public bool Truncated; // only its time is over

        public bool Done => Terminated || Truncated;
    }

    /// <summary>
    /// A policy on a body, control step by control step, and what each was worth: the port of
    /// synthjax/deploy/tuning/actor.py. <see cref="Begin"/>, then <see cref="Observe"/>, <see cref="Act"/>, the
    /// body's steps and <see cref="Judge"/> by turns.
    /// </summary>
    public sealed class EpisodeActor
    {
        readonly LearningTask task;
        readonly ILearningBody body;
        readonly INamedModel reward;
        readonly Dictionary<string, float[]> sensors = new Dictionary<string, float[]>();
        readonly float[] before, result = new float[1];
        float[] memory;
        int steps;

        public DeployedPolicy Policy { get; }

        /// <param name="policy">opened with parameters</param>
        /// <exception cref="BundleException">A model is missing or does not fit the manifest.</exception>
        public EpisodeActor(Bundle bundle, OpenModel open, LearningTask task, DeployedPolicy policy, ILearningBody body)
        {
            this.task = task;
            this.body = body;
            Policy = policy;
            reward = DeployedPolicy.Open(bundle, open, LearningTask.RewardFile, "reward");
            foreach (string name in policy.SensorNames) sensors[name] = new float[policy.SensorSize(name)];
            foreach (string name in task.RewardInputs)
                if (name != "action" && name != "previous_action" && name != "carried" && name != "memory")
                    sensors[name] = new float[reward.InputSize(name)];
            before = new float[policy.ActionSize];
        }

        public void Begin(EpisodeStart start)
        {
            body.Begin(start.Qpos, start.Qvel);
            Policy.Reset(start.Carried);
            memory = (float[])start.Memory.Clone();
            steps = 0;
            Read();
        }

        /// <summary>The observation of this moment; what the task remembers goes on with it.</summary>
        public float[] Observe() => Policy.Observe(sensors);

        /// <summary>Takes an action and gives its motor input; stochastic with noise.</summary>
        public float[] Act(float[] observation, float[] noise)
        {
            Array.Copy(Policy.Action, before, before.Length);
            Policy.Act(observation, noise);
            return Policy.Control();
        }

        /// <summary>What the control step was worth that has just ended.</summary>
        public Outcome Judge()
        {
            steps++;
            // A body of which a number is none is lost, whoever has noticed it: models may make any number of it.
            if (!body.Sound || !Read()) return new Outcome { Terminated = true };
            foreach (string name in task.RewardInputs) reward.Set(name, Given(name));
            reward.Run();
            bool terminated = Number("terminated") != 0f, over = steps >= task.MaxSteps || Number("over") != 0f;
            if (memory.Length > 0) reward.Get("memory_next", memory);
            return new Outcome { Reward = Number("reward"), Terminated = terminated, Truncated = over && !terminated };
        }

        float[] Given(string name)
        {
            switch (name)
            {
                case "action": return Policy.Action;
                case "previous_action": return before;
                case "carried": return Policy.Carried;
                case "memory": return memory;
                default: return sensors[name];
            }
        }

        float Number(string name)
        {
            reward.Get(name, result);
            return result[0];
        }

        /// <summary>False if a number is not finite.</summary>
        bool Read()
        {
            bool finite = true;
            foreach (KeyValuePair<string, float[]> sensor in sensors)
            {
                body.Read(sensor.Key, sensor.Value);
                finite = finite && DeployedPolicy.AllFinite(sensor.Value);
            }
            return finite;
        }
    }
}
