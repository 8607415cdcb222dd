using System;
using System.Collections.Generic;

namespace Synthjax
{
    /// <summary>Where an episode begins.</summary>
    public sealed class EpisodeStart
    {
        public float[] Qpos, Qvel, Carried, Memory;
    }

    /// <summary>What a bundle says about the task that its policy goes on learning: manifest, "finetune".</summary>
    public sealed class LearningTask
    {
        public const string StartsFile = "starts.bin", RewardFile = "reward.tflite";

        /// <summary>"ppo" or "sac".</summary>
        public string Algorithm { get; }
        /// <summary>Where the policy lies in "params"; of SAC.</summary>
        public int PolicyStart { get; }
        public int PolicySize { get; }
        /// <summary>Control steps of an episode, after which its value is bootstrapped.</summary>
        public int MaxSteps { get; }
        public IReadOnlyList<EpisodeStart> Starts { get; }
        /// <summary>What the reward takes, by name.</summary>
        public IReadOnlyList<string> RewardInputs { get; }

        readonly object settings;

        /// <exception cref="BundleException">The bundle cannot be learned from by this host.</exception>
        public LearningTask(Bundle bundle)
        {
            object tuning = Json.Get(bundle.Manifest, "finetune");
            Algorithm = Json.Get(Json.Get(bundle.Manifest, "agent"), "algorithm") as string;
            if (Algorithm != "ppo" && Algorithm != "sac")
                throw new BundleException($"The bundle's policy is of {Algorithm ?? "nothing"}: only those of ppo and sac go on learning here.");
            if (Json.Get(Json.Get(tuning, "policy"), "start") is long first && Json.Get(Json.Get(tuning, "policy"), "size") is long size)
            {
                PolicyStart = (int)first;
                PolicySize = (int)size;
            }
            else if (Algorithm == "sac") throw Unfit();
            settings = Json.Get(tuning, "settings");
            if (!(Json.Get(tuning, "max_steps") is long steps) || steps < 1 ||
                !(Json.Get(Json.Get(tuning, "reward"), "inputs") is Dictionary<string, object> inputs)) throw Unfit();
            MaxSteps = (int)steps;
            RewardInputs = new List<string>(inputs.Keys);
            Starts = ReadStarts(bundle, Json.Get(tuning, "starts"));
        }

        /// <summary>A setting of the training, such as "gamma".</summary>
        public double Setting(string name)
        {
            object value = Json.Get(settings, name);
            return value is double real ? real : value is long whole ? whole : throw Unfit();
        }

        static List<EpisodeStart> ReadStarts(Bundle bundle, object described)
        {
            if (!bundle.Files.TryGetValue(StartsFile, out byte[] content))
                throw new BundleException($"The bundle has no {StartsFile}: install it with its training part.");
            if (!(Json.Get(described, "rows") is long rows) || !(Json.Get(described, "columns") is List<object> columns)) throw Unfit();
            var starts = new List<EpisodeStart>();
            int at = 0; // in bytes
            for (long row = 0; row < rows; row++)
            {
                var values = new Dictionary<string, float[]>();
                foreach (object column in columns)
                {
                    if (!(Json.Get(column, "name") is string name) || !(Json.Get(column, "size") is long size) || size < 0 ||
                        at + size * sizeof(float) > content.Length) throw Unfit();
                    values[name] = new float[size];
                    Buffer.BlockCopy(content, at, values[name], 0, (int)size * sizeof(float));
                    at += (int)size * sizeof(float);
                }
                if (!values.TryGetValue("qpos", out float[] qpos) || !values.TryGetValue("qvel", out float[] qvel) ||
                    !values.TryGetValue("carried", out float[] carried) || !values.TryGetValue("memory", out float[] memory)) throw Unfit();
                starts.Add(new EpisodeStart { Qpos = qpos, Qvel = qvel, Carried = carried, Memory = memory });
            }
            if (at != content.Length || starts.Count < 2) throw Unfit();
            return starts;
        }

        static BundleException Unfit() => new BundleException("The bundle's part for training does not fit its manifest: export it again.");
    }
}
