using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Threading;
using Synthjax;

/// <summary>A life with learning on a body of a few lines, which tests/test_host_unity_learning.py has in Python.</summary>
static class Life
{
    /// <summary>Each of its joints follows its motor input.</summary>
    sealed class Toy : ISteppedBody
    {
        double[] q = new double[0], v = new double[0];
        public int Broken = -1; // readings until one is no number

        public bool Ready => true;
        public double StepSeconds { get; set; } = 0.01;
        public bool Sound => Math.Abs(q[0]) < 0.55;

        public void Begin(float[] qpos, float[] qvel)
        {
            q = Array.ConvertAll(qpos, x => (double)x);
            v = Array.ConvertAll(qvel, x => (double)x);
        }

        public void Step(float[] control, int steps)
        {
            for (int step = 0; step < steps; step++)
                for (int i = 0; i < q.Length; i++)
                {
                    v[i] = 0.8 * v[i] + 0.2 * (control[i] - q[i]);
                    q[i] = q[i] + 0.5 * v[i];
                }
        }

        public void Read(string name, float[] values)
        {
            double[] from = name == "qpos" ? q : v;
            for (int i = 0; i < values.Length; i++) values[i] = (float)from[i];
            if (name == "qpos" && Broken-- == 0) values[0] = float.NaN;
        }
    }

    /// <summary>Numbers that any language can draw.</summary>
    sealed class Sequence : IDraws
    {
        uint state;

        public Sequence(uint seed) { state = seed; }

        double Next() => (state = unchecked(1664525u * state + 1013904223u)) / 4294967296.0;

        public double Normal()
        {
            double sum = -6.0;
            for (int i = 0; i < 12; i++) sum += Next();
            return sum;
        }

        public int Below(int count) => (int)(Next() * count);

        public int[] Order(int count)
        {
            var order = new int[count];
            for (int i = 0; i < count; i++)
            {
                int j = Below(i + 1);
                order[i] = order[j];
                order[j] = i;
            }
            return order;
        }
    }

    /// <summary>Runs a round to its end in the caller's thread.</summary>
    sealed class InlineWorker : ILearningWorker
    {
        readonly Learner learner;

        public InlineWorker(Learner learner) { this.learner = learner; }

        public bool Busy => false;

        public void Learn(Rollout rollout)
        {
            foreach (object piece in learner.Round(rollout)) { }
            RoundResult last = learner.Last;
            Console.WriteLine(string.Join(" ", new object[]
            {
                last.Steps, last.Taken, Word(last.Reward ?? double.NaN), Word(last.Best), Word(last.Kl), Word(last.Share),
            }));
        }

        public void Frame(double seconds) { }

        public void Stop() { }
    }

    /// <summary>A model that says how many of its kind are open.</summary>
    sealed class Counted : INamedModel
    {
        public static int Open;

        readonly INamedModel model;

        public Counted(INamedModel model)
        {
            this.model = model;
            Open++;
        }

        public int InputSize(string name) => model.InputSize(name);
        public int OutputSize(string name) => model.OutputSize(name);
        public void Set(string name, float[] values) => model.Set(name, values);
        public void Run() => model.Run();
        public void Get(string name, float[] values) => model.Get(name, values);

        public void Dispose()
        {
            model.Dispose();
            Open--;
        }
    }

    /// <summary>Models that are open after a skill was refused, while it acts, and after its end; zip, data folder,
    /// folder of what is kept.</summary>
    public static void Models(string[] args)
    {
        FirstLaunch launch = Installed(args[1], args[2]);
        var body = new Toy { StepSeconds = 0.9 };
        var skill = new LearningSkill(
            "toy", launch, body, new Toy(), (file, content, signature) => new Counted(LiteRtModel.Open(file, content, signature)), args[3],
            learner => new InlineWorker(learner));
        try { skill.Initialize(); }
        catch (BundleException) { Console.Write($"{Counted.Open} "); }
        body.StepSeconds = 0.01;
        skill.Initialize();
        Console.Write($"{Counted.Open > 0} {skill.Act() != null} ");
        skill.Dispose();
        Console.WriteLine(Counted.Open);
    }

    static string Word(double value) => value.ToString("R", CultureInfo.InvariantCulture);

    /// <summary>zip, data folder, folder of what is kept, control steps, both bounds, reading that is no number, learned
    /// parameters.</summary>
    public static void Live(string[] args)
    {
        FirstLaunch launch = Installed(args[1], args[2]);
        Toy body = new Toy { Broken = int.Parse(args[7]) }, second = new Toy();
        using (var skill = new LearningSkill("toy", launch, body, second, LiteRtModel.Open, args[3], learner => new InlineWorker(learner)))
        {
            double bound = double.Parse(args[5], CultureInfo.InvariantCulture), roundKl = double.Parse(args[6], CultureInfo.InvariantCulture);
            skill.Config = new LearningConfig { RolloutSteps = 512, Epochs = 2, Episodes = 4, KlBound = bound, RoundKl = roundKl, SamplesPerStep = 2.0, Capacity = 1024 };
            skill.Exploration = new Sequence(1);
            skill.Shuffling = new Sequence(2);
            if (!skill.Initialize()) throw new InvalidOperationException("not ready");
            for (int step = 0; step < int.Parse(args[4]); step++) body.Step(skill.Act(), skill.FrameSkip);
            skill.Act();
            Console.WriteLine($"{skill.FrameSkip} {skill.Repeated}");
            using (var file = new BinaryWriter(File.Create(args[8])))
                foreach (float value in skill.Learner.Current.Parameters) file.Write(value);
        }
    }

    /// <summary>The same in a thread of its own beside frames, with pauses; zip, data folder, folder of what is kept.</summary>
    public static void Beside(string[] args)
    {
        FirstLaunch launch = Installed(args[1], args[2]);
        Toy body = new Toy(), second = new Toy();
        // Without an end of a frame it would wait for half an hour.
        var throttle = new Throttle(
            new ThrottleConfig { StepsPerSecond = 2000.0, RestSeconds = 0.0, FrameSeconds = 1e3 }, LearningWorker.Now);
        LearningWorker worker = null;
        var skill = new LearningSkill(
            "toy", launch, body, second, LiteRtModel.Open, args[3], learner => worker = new LearningWorker(learner, throttle))
        {
            Config = new LearningConfig { RolloutSteps = 256, Epochs = 1, Episodes = 2 },
        };
        skill.Initialize();
        double end = LearningWorker.Now + 300.0; // other processes may have all cores
        int numbers = 0;
        while (numbers < 3 && LearningWorker.Now < end)
        {
            body.Step(skill.Act(), skill.FrameSkip);
            skill.Worker.Frame(1e-3);
            Thread.Sleep(1); // what is left of a frame
            numbers = skill.Learner.Last?.Number ?? 0;
        }
        worker.Pause();
        int before = skill.Learner.Last.Number;
        for (int step = 0; step < 3000; step++)
        {
            body.Step(skill.Act(), skill.FrameSkip);
            skill.Worker.Frame(1e-3);
        }
        Thread.Sleep(200);
        bool still = skill.Learner.Last.Number == before && worker.Busy;
        worker.Resume();
        while (skill.Learner.Last.Number == before && LearningWorker.Now < end)
        {
            Thread.Sleep(1);
            skill.Worker.Frame(1e-3);
        }
        Console.WriteLine($"{numbers >= 3} {still} {skill.Learner.Last.Number > before}");
        Console.WriteLine(IdleThreads());
        for (int step = 0; step < 3000; step++) body.Step(skill.Act(), skill.FrameSkip);
        skill.Dispose(); // in the midst of a round
        Console.WriteLine(skill.Act() == null);
    }

    /// <summary>Threads of this process that only run when no other wants to; the 41st field of proc(5)'s stat.</summary>
    static int IdleThreads()
    {
        int idle = 0;
        foreach (string thread in Directory.GetDirectories("/proc/self/task"))
        {
            string stat = File.ReadAllText(Path.Combine(thread, "stat"));
            string[] fields = stat.Substring(stat.LastIndexOf(')') + 2).Split(' '); // from the third on
            if (fields[38] == "5") idle++;
        }
        return idle;
    }

    static FirstLaunch Installed(string zip, string to)
    {
        var launch = new FirstLaunch(to) { WithTraining = true };
        launch.Begin(new[] { new KeyValuePair<string, Func<byte[]>>(zip, () => File.ReadAllBytes(zip)) }).Wait();
        if (launch.Error != null) throw new BundleException(launch.Error);
        return launch;
    }
}
