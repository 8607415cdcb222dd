using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Threading;
using Synthjax;

/// <summary>The part of the host that needs no Unity, for the tests in tests/test_host_unity.py.</summary>
static class Program
{
    static int Main(string[] args)
    {
        CultureInfo.CurrentCulture = new CultureInfo("de-DE"); // nothing may hang on the user's own
        try
        {
            Run(args);
            return 0;
        }
        catch (BundleException error)
        {
            Console.Error.WriteLine(error.Message);
            return 2;
        }
    }

    static void Run(string[] args)
    {
        switch (args[0])
        {
            case "read": // several, each with its verdict
                foreach (string path in args.Skip(1))
                    Console.WriteLine(Verdict(() => Describe(Bundle.Load(path))));
                break;
            case "installed": Console.WriteLine(Describe(Installer.LoadInstalled(args[1]))); break;
            case "install":
                Installation done = Installer.Install(Bundle.Load(args[1]), args[2], args.Length > 3);
                Console.WriteLine($"{done.Installed} {Describe(done.Bundle)} {done.Reason}");
                break;
            case "installs": // many, as a process to be killed
                while (true)
                    foreach (string path in args.Skip(2))
                        Installer.Install(Bundle.Load(path), args[1]);
            case "throttle": Timeline(args[1]); break;
            case "stage": Console.WriteLine(string.Join(" ", BundleStaging.Stage(args[1], args[2], args[3]))); break;
            case "clean": BundleStaging.CleanUp(args[1]); break;
            case "act": Act(args[1], args[2], args[3], args.Length > 4 ? args[4] : null); break;
            case "learn": Learn(args[1], args[2], args[3], args[4], args[5]); break;
            case "onward": Onward(args[1], args[2], args[3]); break;
            case "open": // with the host's layout, and with sensors of which one is missing
                using (var policy = new DeployedPolicy(Bundle.Load(args[1]), LiteRtModel.Open, null, args.Length > 2 ? args[2] : null))
                    policy.Observe(policy.SensorNames.Skip(1).ToDictionary(name => name, name => new float[policy.SensorSize(name)]));
                break;
            case "saves": // without an end, as a process to be killed: each number is in every vector's place
                using (var tuning = new FineTuning(Bundle.Load(args[1]), LiteRtModel.Open))
                    for (int number = 1; ; number++)
                    {
                        foreach (string name in tuning.VectorNames)
                            for (int i = 0; i < tuning.Vector(name).Length; i++) tuning.Vector(name)[i] = number;
                        tuning.Save(args[2]);
                    }
            case "live": Life.Live(args); break;
            case "beside": Life.Beside(args); break;
            case "models": Life.Models(args); break;
            case "skill": Skill(args[1], args[2], args[3], args[4]); break;
            default: throw new ArgumentException(args[0]);
        }
    }

    static string Verdict(Func<string> read)
    {
        try { return read(); }
        catch (BundleException error) { return "refused: " + error.Message; }
    }

    static string Describe(Bundle bundle) => $"{bundle.Digest} {bundle.Name} {bundle.Version} {bundle.Exported} " +
        string.Join(",", bundle.Files.Keys.OrderBy(name => name, StringComparer.Ordinal).Select(name => $"{name}:{bundle.Files[name].Length}"));

    /// <summary>Moves of a throttle, one a line: its share after a frame, the wait after asking.</summary>
    static void Timeline(string path)
    {
        Throttle throttle = null;
        foreach (string line in File.ReadLines(path))
        {
            string[] words = line.Split(' ');
            double now = Number(words[1]);
            switch (words[0])
            {
                case "quest": throttle = new Throttle(ThrottleConfig.Quest, now); break;
                case "desktop": throttle = new Throttle(ThrottleConfig.Desktop, now); break;
                case "finished": throttle.Finished(now); break;
                case "frame":
                    throttle.Frame(now, Number(words[2]));
                    Console.WriteLine(throttle.Share.ToString("R", CultureInfo.InvariantCulture));
                    break;
                case "ask": Console.WriteLine(throttle.Ask(now).ToString("R", CultureInfo.InvariantCulture)); break;
            }
        }
    }

    static double Number(string word) => word == "nan" ? double.NaN : double.Parse(word, CultureInfo.InvariantCulture);

    static void Act(string bundle, string given, string to, string noisePath)
    {
        using (var policy = new DeployedPolicy(Bundle.Load(bundle), LiteRtModel.Open))
        using (var file = new BinaryWriter(File.Create(to)))
        {
            float[] rows = Floats(given), noise = noisePath == null ? null : Floats(noisePath);
            var row = new float[policy.ObservationSize];
            var drawn = noise == null ? null : new float[policy.ActionSize];
            for (int t = 0; t * row.Length < rows.Length; t++)
            {
                Array.Copy(rows, t * row.Length, row, 0, row.Length);
                if (drawn != null) Array.Copy(noise, t * drawn.Length, drawn, 0, drawn.Length);
                foreach (float value in policy.Act(row, drawn)) file.Write(value);
            }
            Console.WriteLine(policy.Repeated);
        }
    }

    /// <summary>Gradient steps, and the actions of a policy that was opened before them and uses what they made.</summary>
    static void Learn(string path, string minibatches, string learned, string given, string to)
    {
        Bundle bundle = Bundle.Load(path);
        using (var tuning = new FineTuning(bundle, LiteRtModel.Open))
        using (var policy = new DeployedPolicy(bundle, LiteRtModel.Open, tuning.Vector("params")))
        using (var vectors = new BinaryWriter(File.Create(learned)))
        using (var actions = new BinaryWriter(File.Create(to)))
        {
            float[] rows = Floats(minibatches);
            Steps(tuning, rows);
            policy.Use(tuning.Vector("params"));
            float[] observations = Floats(given);
            for (int at = 0; at < observations.Length; at += policy.ObservationSize)
                foreach (float value in policy.Act(observations.Skip(at).Take(policy.ObservationSize).ToArray())) actions.Write(value);
            foreach (string name in tuning.VectorNames)
                foreach (float value in tuning.Vector(name)) vectors.Write(value);
            Console.WriteLine($"{tuning.Dropped} {rows.Length > 0 && float.IsNaN(tuning.Metric("policy_loss"))}");
        }
    }

    /// <summary>Gradient steps from what the file holds, if there is any, and back into it; says whether there was.</summary>
    static void Onward(string path, string minibatches, string learned)
    {
        using (var tuning = new FineTuning(Bundle.Load(path), LiteRtModel.Open))
        {
            Console.WriteLine(tuning.Load(learned));
            Steps(tuning, Floats(minibatches));
            tuning.Save(learned);
        }
    }

    static void Steps(FineTuning tuning, float[] rows)
    {
        var minibatch = tuning.MinibatchNames.ToDictionary(name => name, name => new float[tuning.MinibatchSize(name)]);
        for (int at = 0; at < rows.Length;)
        {
            foreach (string name in tuning.MinibatchNames)
            {
                Array.Copy(rows, at, minibatch[name], 0, minibatch[name].Length);
                at += minibatch[name].Length;
            }
            tuning.Step(minibatch);
        }
    }

    /// <summary>From the first launch to motor inputs, with sensors from a file.</summary>
    static void Skill(string zip, string to, string given, string controls)
    {
        Bundle bundle = Bundle.Load(zip);
        var launch = new FirstLaunch(to) { WithTraining = true };
        var sensors = new FileSensors { rows = Floats(given) };
        var gate = new ManualResetEventSlim();
        using (var skill = new PolicySkill(bundle.Name, launch, sensors, LiteRtModel.Open, learns: bundle.HasTraining))
        using (var file = new BinaryWriter(File.Create(controls)))
        {
            var task = launch.Begin(new[]
            {
                new KeyValuePair<string, Func<byte[]>>("broken.zip", () => new byte[100]),
                new KeyValuePair<string, Func<byte[]>>(zip, () => { gate.Wait(); return File.ReadAllBytes(zip); }),
            });
            Console.WriteLine($"{skill.IsReady} {skill.Initialize()} {skill.Act() == null} {launch.IsComplete}");
            gate.Set();
            task.Wait();
            Console.WriteLine($"{skill.Initialize()} {skill.IsReady} {launch.IsComplete} {skill.Tuning != null} {launch.Error}");
            skill.AdvanceTime(0.5f);
            for (int again = 0; again < 2; again++) // the second time after a reset
            {
                skill.Reset();
                sensors.at = 0;
                while (sensors.at < sensors.rows.Length)
                {
                    foreach (float value in skill.Act()) file.Write(value);
                    for (int i = 0; i < skill.FrameSkip; i++) skill.AdvanceTime((float)sensors.StepSeconds);
                }
            }
            Console.WriteLine($"{skill.FrameSkip} {skill.Seconds.ToString("0.000", CultureInfo.InvariantCulture)}");
        }
    }

    sealed class FileSensors : ISensors
    {
        public float[] rows;
        public int at;

        public bool Ready => true;
        public double StepSeconds => 0.0025;

        public void Read(string name, float[] values)
        {
            Array.Copy(rows, at, values, 0, values.Length);
            at += values.Length;
        }
    }

    static float[] Floats(string path)
    {
        byte[] bytes = File.ReadAllBytes(path);
        var values = new float[bytes.Length / sizeof(float)];
        Buffer.BlockCopy(bytes, 0, values, 0, bytes.Length);
        return values;
    }
}
