using System;
using System.Collections.Generic;
using System.IO;

namespace Synthjax
{
    /// <summary>
    /// Gradient steps of the training on a device: the bundle's finetune.tflite on the vectors of its params.bin.
    /// What a minibatch holds, and how the <see cref="Throttle"/> paces the steps, is the host's; run them on a
    /// thread of their own. Between steps, hand a copy of <see cref="Vector"/> "params" to
    /// <see cref="DeployedPolicy.Use"/> on the thread that acts.
    /// </summary>
    public sealed class FineTuning : IDisposable
    {
        public const string ModelFile = "finetune.tflite", VectorsFile = "params.bin";

        readonly INamedModel step;
        readonly List<string> names = new List<string>();
        Dictionary<string, float[]> vectors = new Dictionary<string, float[]>(), next = new Dictionary<string, float[]>();

        /// <summary>Steps whose result was not finite, and which were therefore not taken.</summary>
        public int Dropped { get; private set; }
        /// <summary>What is learned, in the order of params.bin.</summary>
        public IReadOnlyList<string> VectorNames => names;
        /// <summary>What <see cref="Step"/> takes, in the order of the manifest.</summary>
        public IReadOnlyList<string> MinibatchNames { get; }

        /// <exception cref="BundleException">The bundle cannot be fine-tuned, or is not whole.</exception>
        public FineTuning(Bundle bundle, OpenModel open)
        {
            object tuning = Json.Get(bundle.Manifest, "finetune");
            if (!(Json.Get(tuning, "vectors") is List<object> rows) ||
                !(Json.Get(tuning, "minibatch") is Dictionary<string, object> minibatch))
                throw new BundleException("The bundle says nothing of fine-tuning: export it where the TFLite converter is installed.");
            if (!bundle.Files.TryGetValue(VectorsFile, out byte[] content))
                throw new BundleException($"The bundle has no {VectorsFile}: install it with its training part.");
            long end = 0; // in floats
            foreach (object row in rows)
            {
                if (!(Json.Get(row, "name") is string name) || !(Json.Get(row, "size") is long size) || size <= 0 ||
                    !(Json.Get(row, "start") is long start) || start != end || (end += size) * sizeof(float) > content.Length)
                    throw Unfit();
                names.Add(name);
                vectors[name] = new float[size];
                next[name] = new float[size];
            }
            if (end * sizeof(float) != content.Length || !Take(content)) throw Unfit();
            MinibatchNames = new List<string>(minibatch.Keys);
            step = DeployedPolicy.Open(bundle, open, ModelFile, "train_step");
        }

        /// <summary>Number of floats of a tensor of the minibatch.</summary>
        public int MinibatchSize(string name) => step.InputSize(name);

        /// <summary>A vector as it is now; not to be changed, and to be copied before it goes to another thread.</summary>
        public float[] Vector(string name) => vectors[name];

        /// <summary>One gradient step; false if its result is not finite, and everything stays as it was.</summary>
        public bool Step(IReadOnlyDictionary<string, float[]> minibatch)
        {
            foreach (string name in names) step.Set(name, vectors[name]);
            foreach (string name in MinibatchNames) step.Set(name, minibatch[name]);
            step.Run();
            bool finite = true;
            foreach (string name in names)
            {
                step.Get(name + "_next", next[name]);
                finite = finite && DeployedPolicy.AllFinite(next[name]);
            }
            if (!finite)
            {
                Dropped++;
                return false;
            }
            Swap();
            return true;
        }

        /// <summary>All vectors as they are now; whoever has them may go on reading them from any thread.</summary>
        public Dictionary<string, float[]> Copied()
        {
            var copied = new Dictionary<string, float[]>();
            foreach (string name in names) copied[name] = (float[])vectors[name].Clone();
            return copied;
        }

        /// <summary>Goes on from these vectors, which are copied.</summary>
        public void Restore(IReadOnlyDictionary<string, float[]> from)
        {
            foreach (string name in names) Array.Copy(from[name], vectors[name], vectors[name].Length);
        }

        /// <summary>Keeps what was learned in a file, laid out as params.bin; a kill leaves the old file or the new one.</summary>
        /// <exception cref="BundleException">The file cannot be written; the old one is as it was.</exception>
        public void Save(string path)
        {
            var content = new byte[Bytes()];
            int at = 0;
            foreach (string name in names)
            {
                Buffer.BlockCopy(vectors[name], 0, content, at, vectors[name].Length * sizeof(float));
                at += vectors[name].Length * sizeof(float);
            }
            try
            {
                string folder = Path.GetDirectoryName(Path.GetFullPath(path));
                Directory.CreateDirectory(folder);
                Installer.Replace(path, Path.Combine(folder, "." + Path.GetFileName(path) + ".partial"), content);
            }
            catch (Exception error) when (error is IOException || error is UnauthorizedAccessException)
            {
                throw new BundleException($"Cannot write '{path}' ({error.Message}): make room or choose another place.", error);
            }
        }

        /// <summary>Goes on from what <see cref="Save"/> has kept, or the C host's "train"; false if there is no such file.</summary>
        /// <exception cref="BundleException">The file is not of this bundle, or damaged; everything stays as it was.</exception>
        public bool Load(string path)
        {
            byte[] content;
            try
            {
                if (!File.Exists(path)) return false;
                content = File.ReadAllBytes(path);
            }
            catch (Exception error) when (error is IOException || error is UnauthorizedAccessException)
            {
                throw new BundleException($"Cannot read '{path}' ({error.Message}): check the path.", error);
            }
            if (content.Length != Bytes() || !Take(content))
                throw new BundleException($"'{path}' does not hold the {Bytes() / sizeof(float)} finite float32 numbers of this bundle: move it away.");
            return true;
        }

        int Bytes()
        {
            int floats = 0;
            foreach (string name in names) floats += vectors[name].Length;
            return floats * sizeof(float);
        }

        // False if a number is not finite; nothing has changed then.
        bool Take(byte[] content)
        {
            int at = 0;
            foreach (string name in names)
            {
                Buffer.BlockCopy(content, at, next[name], 0, next[name].Length * sizeof(float));
                at += next[name].Length * sizeof(float);
                if (!DeployedPolicy.AllFinite(next[name])) return false;
            }
            Swap();
            return true;
        }

        void Swap()
        {
            Dictionary<string, float[]> before = vectors;
            vectors = next;
            next = before;
        }

        /// <summary>A metric of the last step, such as "kl".</summary>
        public float Metric(string name)
        {
            var value = new float[1];
            step.Get(name, value);
            return value[0];
        }

        public void Dispose() => step.Dispose();

        static BundleException Unfit() => new BundleException($"{VectorsFile} does not fit the manifest of its bundle: export it again.");
    }
}
