using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Runtime.InteropServices;
using System.Threading;

namespace Synthjax
{
    /// <summary>Runs one round at a time.</summary>
    public interface ILearningWorker
    {
        /// <summary>Whether a rollout would be turned down.</summary>
        bool Busy { get; }

        /// <summary>Begins a round; the rollout is the worker's from then on.</summary>
        void Learn(Rollout rollout);

        /// <summary>Takes in that a frame has just ended after so many seconds of work, see <see cref="Throttle.Frame"/>.</summary>
        void Frame(double seconds);

        /// <summary>Ends once the step in flight has; what the round has learned so far is given up.</summary>
        void Stop();
    }

    /// <summary>
    /// Runs rounds in a thread of the lowest priority, each piece of them when the throttle admits it: the port of
    /// synthjax/deploy/tuning/worker.py. Pause, Resume and Stop may be called from any
    /// thread, Frame from one.
    /// </summary>
    public sealed class LearningWorker : ILearningWorker
    {
        static readonly TimeSpan LeastWait = TimeSpan.FromMilliseconds(1);

        readonly Learner learner;
        readonly Throttle throttle;
        readonly Thread thread;
        readonly ManualResetEventSlim running = new ManualResetEventSlim(true), stopped = new ManualResetEventSlim();
        readonly AutoResetEvent given = new AutoResetEvent(false);
        readonly AutoResetEvent news = new AutoResetEvent(false); // something new to ask the throttle for
        readonly object between = new object(); // held by the thread while a step is in flight
        volatile Rollout waiting;
        volatile Exception error;

        /// <summary>Seconds of the clock that throttles of this worker are made with.</summary>
        public static double Now => Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency;

        public LearningWorker(Learner learner, Throttle throttle)
        {
            this.learner = learner;
            this.throttle = throttle;
            thread = new Thread(Run) { IsBackground = true, Priority = ThreadPriority.Lowest, Name = "fine-tuning" };
            thread.Start();
        }

        /// <summary>What has gone wrong in the thread goes wrong in the one that asks.</summary>
        public bool Busy => error == null ? waiting != null : throw new BundleException("Learning has ended: " + error.Message, error);

        public void Learn(Rollout rollout)
        {
            waiting = rollout;
            given.Set();
        }

        public void Frame(double seconds)
        {
            throttle.Frame(Now, seconds);
            news.Set();
        }

        /// <summary>Returns once the step in flight has ended; no other begins before <see cref="Resume"/>.</summary>
        public void Pause()
        {
            running.Reset();
            lock (between) { }
        }

        public void Resume() => running.Set();

        public void Stop()
        {
            stopped.Set();
            running.Set();
            given.Set();
            news.Set();
            thread.Join();
        }

        void Run()
        {
            LowerPriority();
            try
            {
                while (true)
                {
                    given.WaitOne();
                    if (stopped.IsSet) return;
                    using (IEnumerator<object> pieces = learner.Round(waiting).GetEnumerator())
                        while (Admitted() && Advance(pieces)) { }
                    waiting = null;
                }
            }
            catch (Exception cause)
            {
                error = cause;
            }
        }

        /// <summary>Waits for the throttle and for the end of a pause; false: stop instead.</summary>
        bool Admitted()
        {
            while (!stopped.IsSet)
            {
                running.Wait();
                double wait = throttle.Ask(Now);
                if (wait == 0.0) return true;
                TimeSpan span = TimeSpan.FromSeconds(wait);
                news.WaitOne(span > LeastWait ? span : LeastWait);
            }
            return false;
        }

        /// <summary>One piece of a round; false once there is none left. A pause that came meanwhile comes first.</summary>
        bool Advance(IEnumerator<object> pieces)
        {
            bool more;
            lock (between)
            {
                if (!running.IsSet) return true;
                more = pieces.MoveNext();
            }
            throttle.Finished(Now);
            return more;
        }

        /// <summary>Lets this thread run only when no other wants its core: where the kernel is Linux, Android's too,
        /// which ThreadPriority does not reach.</summary>
        static void LowerPriority()
        {
            if (!Directory.Exists("/proc/self/task")) return;
            int none = 0;
            setpriority(0, 0, 19); // of this thread
            sched_setscheduler(0, 5, ref none); // SCHED_IDLE
        }

        [DllImport("libc")]
        static extern int setpriority(int which, int thread, int nice);

        [DllImport("libc")]
        static extern int sched_setscheduler(int thread, int policy, ref int parameter);
    }
}
