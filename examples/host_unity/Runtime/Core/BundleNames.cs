using System;
using System.Collections.Generic;
using System.Text.RegularExpressions;

namespace Synthjax
{
    /// <summary>Names of files that can stand in a folder of every system and lead nowhere else.</summary>
    public static class BundleNames
    {
        const int Longest = 120;
        static readonly Regex Segment = new Regex(@"\A[A-Za-z0-9_][A-Za-z0-9_.-]*\z", RegexOptions.CultureInvariant);
        static readonly Regex Device = new Regex(
            @"\A(con|prn|aux|nul|com[0-9]|lpt[0-9])\z", RegexOptions.CultureInvariant | RegexOptions.IgnoreCase);

        public static bool IsSafe(string name)
        {
            if (name.Length > Longest) return false;
            foreach (string part in name.Split('/'))
                if (!Segment.IsMatch(part) || part.EndsWith(".", StringComparison.Ordinal) ||
                    Device.IsMatch(part.Split('.')[0]))
                    return false;
            return true;
        }

        /// <exception cref="BundleException">A name is unsafe, or two are one file on some system.</exception>
        public static void Check(string where, IEnumerable<string> names)
        {
            var seen = new Dictionary<string, string>(StringComparer.Ordinal);
            foreach (string name in names)
            {
                if (!IsSafe(name)) throw new BundleException($"'{where}' holds an unsafe name: export it again.");
                // Every folder on the way counts as an entry; "/" marks those that are folders.
                for (int end = name.IndexOf('/'); ; end = name.IndexOf('/', end + 1))
                {
                    string prefix = end < 0 ? name : name.Substring(0, end);
                    string key = prefix.ToLowerInvariant(), entry = end < 0 ? prefix : prefix + "/";
                    bool known = seen.TryGetValue(key, out string other);
                    if (known && (end < 0 || other != entry))
                        throw new BundleException($"'{where}' holds '{name}' twice on some systems: export it again.");
                    seen[key] = entry;
                    if (end < 0) break;
                }
            }
        }
    }
}
