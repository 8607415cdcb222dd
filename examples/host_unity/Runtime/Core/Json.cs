using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace Synthjax
{
    /// <summary>
    /// Reads JSON into <c>Dictionary&lt;string, object&gt;</c>, <c>List&lt;object&gt;</c>, <c>string</c>,
    /// <c>long</c>, <c>double</c>, <c>bool</c> and null. Unity's own reader knows no tables of free names.
    /// </summary>
    public static class Json
    {
        const int Deepest = 64; // containers in each other, so that no text overflows the stack

        /// <exception cref="FormatException">The text is not one JSON value.</exception>
        public static object Parse(string text)
        {
            var reader = new Reader { text = text };
            object value = reader.Value(0);
            reader.Space();
            if (reader.at != text.Length) throw new FormatException("text after the value");
            return value;
        }

        /// <summary>The value under <paramref name="key"/>, or null if there is no such table or key.</summary>
        public static object Get(object table, string key)
        {
            object value = null;
            (table as Dictionary<string, object>)?.TryGetValue(key, out value);
            return value;
        }

        /// <summary>A list of numbers as floats, or null if it is none.</summary>
        public static float[] Floats(object list)
        {
            if (!(list is List<object> values)) return null;
            var floats = new float[values.Count];
            for (int i = 0; i < floats.Length; i++)
            {
                if (values[i] is long whole) floats[i] = whole;
                else if (values[i] is double number) floats[i] = (float)number;
                else return null;
            }
            return floats;
        }

        sealed class Reader
        {
            public string text;
            public int at;

            char Next => at < text.Length ? text[at] : '\0';

            public void Space()
            {
                while (at < text.Length && " \t\r\n".IndexOf(text[at]) >= 0) at++;
            }

            void Take(string word)
            {
                if (string.CompareOrdinal(text, at, word, 0, word.Length) != 0) throw new FormatException(word);
                at += word.Length;
            }

            public object Value(int depth)
            {
                if (depth > Deepest) throw new FormatException("too deep");
                Space();
                switch (Next)
                {
                    case '{': return Table(depth);
                    case '[': return List(depth);
                    case '"': return String();
                    case 't': Take("true"); return true;
                    case 'f': Take("false"); return false;
                    case 'n': Take("null"); return null;
                    default: return Number();
                }
            }

            Dictionary<string, object> Table(int depth)
            {
                var table = new Dictionary<string, object>(StringComparer.Ordinal);
                at++;
                Space();
                if (Next == '}') { at++; return table; }
                while (true)
                {
                    Space();
                    string key = String();
                    Space();
                    Take(":");
                    table[key] = Value(depth + 1); // of two, the last, as in other readers
                    Space();
                    if (Next == '}') { at++; return table; }
                    Take(",");
                }
            }

            List<object> List(int depth)
            {
                var list = new List<object>();
                at++;
                Space();
                if (Next == ']') { at++; return list; }
                while (true)
                {
                    list.Add(Value(depth + 1));
                    Space();
                    if (Next == ']') { at++; return list; }
                    Take(",");
                }
            }

            string String()
            {
                Take("\"");
                var value = new StringBuilder();
                while (Next != '"')
                {
                    char c = Next;
                    if (c < ' ') throw new FormatException("a control character or no end in a string");
                    at++;
                    value.Append(c == '\\' ? Escape() : c);
                }
                at++;
                return value.ToString();
            }

            char Escape()
            {
                char c = Next;
                at++;
                int plain = "\"\\/bfnrt".IndexOf(c);
                if (plain >= 0 && c != '\0') return "\"\\/\b\f\n\r\t"[plain];
                if (c != 'u' || at + 4 > text.Length) throw new FormatException("an escape");
                string digits = text.Substring(at, 4);
                at += 4;
                return (char)ushort.Parse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
            }

            object Number()
            {
                int begin = at;
                if (Next == '-') at++;
                if (Next == '0') at++;
                else Digits();
                bool whole = Next != '.' && Next != 'e' && Next != 'E';
                if (Next == '.') { at++; Digits(); }
                if (Next == 'e' || Next == 'E')
                {
                    at++;
                    if (Next == '+' || Next == '-') at++;
                    Digits();
                }
                string number = text.Substring(begin, at - begin);
                if (whole && long.TryParse(number, NumberStyles.Integer, CultureInfo.InvariantCulture, out long value))
                    return value;
                // Its form is right, so what fails is a number too large, which older runtimes refuse.
                return double.TryParse(number, NumberStyles.Float, CultureInfo.InvariantCulture, out double real) ? real
                    : number[0] == '-' ? double.NegativeInfinity : double.PositiveInfinity;
            }

            void Digits()
            {
                int begin = at;
                while (Next >= '0' && Next <= '9') at++;
                if (at == begin) throw new FormatException("a digit is missing");
            }
        }
    }
}
