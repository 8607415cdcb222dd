using System;
using System.Collections.Generic;

namespace Synthjax
{
    /// <summary>
    /// How far a policy may go from the shipped one: a bound on their divergence, kept by a projection on the line
    /// between the two. The port of synthjax/deploy/tuning/anchor.py.
    /// </summary>
    public sealed class Anchor
    {
        const int Projections = 8; // most attempts to come back within the bound
        const int RowsPerTurn = 32; // observations between two admissions, less than a train step's time

        readonly INamedModel shipped;
        readonly DeployedPolicy tuned;
        readonly float[] parameters;
        readonly LearningAgent agent;
        readonly bool[] active;
        readonly double bound;

        /// <summary>Whether the last policy has come within the bound.</summary>
        public bool Found { get; private set; }
        /// <summary>Share of its way from the shipped policy that is left, and its divergence, nats per action.</summary>
        public double Share { get; private set; }
        public double Kl { get; private set; }

        /// <param name="tuned">judges the other policies; whoever uses it beside this sets its parameters</param>
        /// <param name="parameters">of the shipped policy</param>
        /// <param name="agent">says which part of them is drawn back</param>
        public Anchor(Bundle bundle, OpenModel open, DeployedPolicy tuned, float[] parameters, LearningAgent agent, double bound)
        {
            shipped = DeployedPolicy.Open(bundle, open, DeployedPolicy.PolicyFile, "infer");
            this.tuned = tuned;
            this.parameters = parameters;
            this.agent = agent;
            this.bound = bound;
            active = Array.ConvertAll(Json.Floats(Json.Get(Json.Get(bundle.Manifest, "action"), "gains")), gain => gain > 0f);
        }

        /// <summary>Draws <paramref name="learned"/> back until it is within the bound over these observations.</summary>
        public IEnumerable<object> Within(float[] learned, IReadOnlyList<float[]> observations)
        {
            var own = (float[])learned.Clone();
            float[][] means = Rows(observations), deviations = Rows(observations);
            for (int row = 0; row < observations.Count; row++)
            {
                shipped.Set("observation", observations[row]);
                shipped.Run();
                shipped.Get("mean", means[row]);
                shipped.Get("log_std", deviations[row]);
                if ((row + 1) % RowsPerTurn == 0) yield return null;
            }
            Found = false;
            Share = 1.0;
            for (int attempt = 0; attempt < Projections && !Found; attempt++)
            {
                for (int i = agent.AnchoredStart; i < agent.AnchoredStart + agent.AnchoredSize; i++)
                    learned[i] = parameters[i] + (float)Share * (own[i] - parameters[i]);
                tuned.Use(learned);
                foreach (object turn in Diverge(observations, means, deviations)) yield return turn;
                Found = Kl <= bound;
                if (double.IsNaN(Kl) || double.IsInfinity(Kl)) yield break;
                if (!Found) Share *= 0.97 * Math.Sqrt(bound / Kl); // it is nearly quadratic in the share
            }
        }

        float[][] Rows(IReadOnlyList<float[]> observations)
        {
            var rows = new float[observations.Count][];
            for (int row = 0; row < rows.Length; row++) rows[row] = new float[active.Length];
            return rows;
        }

        /// <summary>Sets <see cref="Kl"/> to the mean of KL(tuned | shipped) of the Gaussians, before any tanh, which
        /// changes nothing.</summary>
        IEnumerable<object> Diverge(IReadOnlyList<float[]> observations, float[][] otherMeans, float[][] otherLogs)
        {
            float[] mean = new float[active.Length], log = new float[active.Length];
            double sum = 0.0;
            for (int row = 0; row < observations.Count; row++)
            {
                tuned.Infer(observations[row]);
                tuned.Output("mean", mean);
                tuned.Output("log_std", log);
                for (int i = 0; i < active.Length; i++)
                {
                    if (!active[i]) continue;
                    double other = Math.Exp(otherLogs[row][i]);
                    double ratio = Math.Exp(log[i]) / other, shift = (mean[i] - otherMeans[row][i]) / other;
                    sum += 0.5 * (ratio * ratio + shift * shift - 1.0) - Math.Log(ratio);
                }
                if ((row + 1) % RowsPerTurn == 0) yield return null;
            }
            Kl = sum / observations.Count;
        }
    }
}
