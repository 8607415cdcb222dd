using System;
using System.Collections.Generic;
using System.IO;
using System.Text;
using System.Text.RegularExpressions;

namespace Synthjax
{
    /// <summary>
    /// Copies bundles to where a build takes its files from, and removes them again. An index lists them, since
    /// an Android application cannot list its own StreamingAssets.
    /// </summary>
    public static class BundleStaging
    {
        public const string Index = "bundles.txt"; // a name of a file on each line

        /// <summary>Copies the newest bundle of each name; every one is verified first.</summary>
        /// <param name="source">folder with the zip files that 'synthjax export' wrote, and folders of them</param>
        /// <param name="to">folder among the StreamingAssets; what an earlier build left there goes</param>
        /// <param name="nameFilter">names of policies to take, with * and ?; all if empty</param>
        /// <returns>Names of the files.</returns>
        /// <exception cref="BundleException">A bundle is damaged, or there is none: a build without is a mistake.</exception>
        public static List<string> Stage(string source, string to, string nameFilter)
        {
            if (!Directory.Exists(source)) throw new BundleException($"There is no folder '{source}': set the source of bundles.");
            string form = string.IsNullOrEmpty(nameFilter) ? "*" : nameFilter;
            var filter = new Regex(
                @"\A" + Regex.Escape(form).Replace(@"\*", ".*").Replace(@"\?", ".") + @"\z", RegexOptions.CultureInvariant);
            var newest = new SortedDictionary<string, KeyValuePair<Bundle, string>>(StringComparer.Ordinal);
            string[] paths = Directory.GetFiles(source, "*.zip", SearchOption.AllDirectories);
            Array.Sort(paths, StringComparer.Ordinal);
            foreach (string path in paths)
            {
                Bundle bundle = Bundle.Load(path);
                if (!filter.IsMatch(bundle.Name)) continue;
                if (!newest.TryGetValue(bundle.Name, out var other) || bundle.CompareAge(other.Key) > 0)
                    newest[bundle.Name] = new KeyValuePair<Bundle, string>(bundle, path);
            }
            if (newest.Count == 0) throw new BundleException($"'{source}' holds no bundle of the name '{form}': export one, or change the filter.");
            CleanUp(to);
            Directory.CreateDirectory(to);
            var names = new List<string>();
            foreach (var entry in newest) names.Add(entry.Key + ".zip");
            // The index goes first, so that whatever is left of a build that was cut off is found again.
            File.WriteAllText(Path.Combine(to, Index), string.Join("\n", names) + "\n", new UTF8Encoding(false));
            foreach (var entry in newest) File.Copy(entry.Value.Value, Path.Combine(to, entry.Key + ".zip"), true);
            return names;
        }

        /// <summary>Removes what <see cref="Stage"/> has put there, and nothing else.</summary>
        public static void CleanUp(string to)
        {
            string index = Path.Combine(to, Index);
            if (!File.Exists(index)) return;
            foreach (string name in ReadIndex(File.ReadAllText(index)))
            {
                File.Delete(Path.Combine(to, name));
                File.Delete(Path.Combine(to, name + ".meta")); // Unity's own
            }
            File.Delete(index);
            File.Delete(index + ".meta");
            if (Directory.GetFileSystemEntries(to).Length == 0)
            {
                Directory.Delete(to);
                File.Delete(to + ".meta");
            }
        }

        /// <summary>Names of files in an index; those that could lead elsewhere are left out.</summary>
        public static List<string> ReadIndex(string text)
        {
            var names = new List<string>();
            foreach (string line in text.Split('\n'))
                if (BundleNames.IsSafe(line) && line.IndexOf('/') < 0) names.Add(line);
            return names;
        }
    }
}
