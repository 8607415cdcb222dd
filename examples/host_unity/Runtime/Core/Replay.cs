using System;
using System.Collections.Generic;

namespace Synthjax
{
    /// <summary>The newest transitions, in arrays that are made once, sampled uniformly: the port of
    /// synthjax/deploy/tuning/replay.py.</summary>
    public sealed class Replay
    {
        readonly int capacity;
        readonly Dictionary<string, float[]> columns = new Dictionary<string, float[]>();
        int cursor; // where the next one goes

        public int Count { get; private set; }

        /// <param name="widths">numbers of a transition, by column</param>
        public Replay(int capacity, IReadOnlyDictionary<string, int> widths)
        {
            this.capacity = capacity;
            foreach (KeyValuePair<string, int> width in widths) columns[width.Key] = new float[capacity * width.Value];
        }

        /// <summary>Stores transitions over the oldest ones; no more than there is room for.</summary>
        public void Add(IReadOnlyDictionary<string, float[]> transitions, int count)
        {
            foreach (KeyValuePair<string, float[]> column in columns)
            {
                int width = column.Value.Length / capacity;
                for (int row = 0; row < count; row++)
                    Array.Copy(transitions[column.Key], row * width, column.Value, (cursor + row) % capacity * width, width);
            }
            cursor = (cursor + count) % capacity;
            Count = Math.Min(Count + count, capacity);
        }

        /// <summary>Fills in the columns of a minibatch, each transition equally likely every time.</summary>
        public void Sample(IReadOnlyDictionary<string, float[]> minibatch, int count, IDraws draws)
        {
            var rows = new int[count];
            for (int i = 0; i < count; i++) rows[i] = draws.Below(Count);
            foreach (KeyValuePair<string, float[]> column in columns)
            {
                int width = column.Value.Length / capacity;
                for (int i = 0; i < count; i++)
                    Array.Copy(column.Value, rows[i] * width, minibatch[column.Key], i * width, width);
            }
        }
    }
}
