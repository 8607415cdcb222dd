using System;

namespace Synthjax
{
    /// <summary>How often training may step, and how it gives way to frames.</summary>
    public sealed class ThrottleConfig
    {
        public double StepsPerSecond; // of train steps, if no frame is busy
        public double? FrameSeconds; // budget of a frame; null: no feedback
        public double BusyAbove = 0.9; // share of the budget above which a frame is busy
        public double Backoff = 0.5; // factor on the rate for each busy frame
        public double LeastShare = 0.1; // of the rate, which stays however busy the frames are
        public double Recovery = 0.2; // of the full rate, gained per second of calm frames
        public double Burst = 1.0; // tokens that the bucket holds: steps that may follow each other after a rest
        public double RestSeconds = 1e-3; // least time between steps, for whatever waits for the core

        /// <summary>Half a token more than a step takes: 2.4 frames' worth would come to three frames without it.</summary>
        public static ThrottleConfig Quest => new ThrottleConfig { StepsPerSecond = 30.0, FrameSeconds = 13.9e-3, Burst = 1.5 };
        public static ThrottleConfig Desktop => new ThrottleConfig { StepsPerSecond = 200.0 };
    }

    /// <summary>
    /// Says when the next train step may begin: a token bucket with frame-time feedback, the port of
    /// synthjax/deploy/throttle.py. Beside frames a step begins only right after one has ended, so that one which fits
    /// into the time until the next is never in flight while a frame works. Times are seconds of any monotonic clock.
    /// The frame loop calls <see cref="Frame"/>, one other thread <see cref="Ask"/> and <see cref="Finished"/>.
    /// </summary>
    public sealed class Throttle
    {
        const double ShortestWait = 1e-6; // s; a shorter one cannot be kept
        const double Prompt = 1e-3; // s after a frame's end in which a step may begin
        const double Pause = 2.0; // budgets without a frame's end, after which there is no frame to give way to

        readonly ThrottleConfig config;
        double share = 1.0, lastFrame; // written by the frame loop alone; the other thread reads them as volatile
        double tokens, filled, rested;

        public Throttle(ThrottleConfig config, double now)
        {
            this.config = config;
            lastFrame = filled = rested = now;
            tokens = config.Burst;
        }

        /// <summary>Of the full rate, what the frames leave at present.</summary>
        public double Share => System.Threading.Volatile.Read(ref share);

        /// <summary>A frame ended at <paramref name="now"/> after <paramref name="seconds"/> of work, without
        /// waiting for the display.</summary>
        public void Frame(double now, double seconds)
        {
            if (!(config.FrameSeconds is double budget)) return;
            double calmFor = now - lastFrame;
            System.Threading.Volatile.Write(ref lastFrame, now);
            double next = seconds <= config.BusyAbove * budget
                ? Math.Min(share + config.Recovery * calmFor, 1.0)
                : Math.Max(share * config.Backoff, config.LeastShare); // NaN counts as busy
            System.Threading.Volatile.Write(ref share, next);
        }

        /// <summary>Seconds until a train step may begin; zero: it begins now, which takes a token. After a wait ask
        /// again, for frames may have become busy since; and ask at once when a frame has ended.</summary>
        public double Ask(double now)
        {
            double rate = config.StepsPerSecond * Share;
            tokens = Math.Min(tokens + rate * (now - filled), config.Burst);
            filled = now;
            double wait = Math.Max((1.0 - tokens) / rate, rested - now);
            if (config.FrameSeconds is double budget)
            {
                double ended = System.Threading.Volatile.Read(ref lastFrame);
                // What may not begin at the end of this frame waits for that of the next one.
                if (wait > ShortestWait || now - ended > Prompt) wait = Math.Max(wait, ended + Pause * budget - now);
            }
            if (wait > ShortestWait) return wait;
            tokens -= 1.0;
            return 0.0;
        }

        /// <summary>The train step ended, or was given up, at <paramref name="now"/>.</summary>
        public void Finished(double now) => rested = now + config.RestSeconds;
    }
}
