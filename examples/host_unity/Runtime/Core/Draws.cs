using System;

namespace Synthjax
{
    /// <summary>The random numbers of acting and learning.</summary>
    public interface IDraws
    {
        /// <summary>A standard normal number.</summary>
        double Normal();
        /// <summary>A whole number from 0 to <paramref name="count"/> - 1.</summary>
        int Below(int count);
        /// <summary>The numbers from 0 to <paramref name="count"/> - 1 in any order.</summary>
        int[] Order(int count);
    }

    /// <summary>Those of System.Random.</summary>
    public sealed class Draws : IDraws
    {
        readonly Random random;

        public Draws(int seed) { random = new Random(seed); }

        // Box and Muller 1958.
        public double Normal() => Math.Sqrt(-2.0 * Math.Log(1.0 - random.NextDouble())) * Math.Cos(2.0 * Math.PI * random.NextDouble());

        public int Below(int count) => random.Next(count);

        // Fisher and Yates, as Durstenfeld 1964 has it.
        public int[] Order(int count)
        {
            var order = new int[count];
            for (int i = 0; i < count; i++)
            {
                int j = random.Next(i + 1);
                order[i] = order[j];
                order[j] = i;
            }
            return order;
        }
    }
}
