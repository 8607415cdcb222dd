using System;
using System.Collections.Generic;
using System.IO;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;

namespace Synthjax
{
    /// <summary>A bundle in memory, every byte of it verified (docs/bundles.md has the format).</summary>
    public sealed class Bundle
    {
        public const int Format = 1;
        public const string ManifestFile = "manifest.json", HashFile = "manifest.sha256";

        static readonly Regex NameForm = new Regex(@"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}\z", RegexOptions.CultureInvariant);
        static readonly Regex TimeForm = new Regex(
            @"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\z", RegexOptions.CultureInvariant);

        /// <summary>The manifest as <see cref="Json"/> reads it.</summary>
        public Dictionary<string, object> Manifest { get; private set; }
        public byte[] ManifestBytes { get; private set; }
        /// <summary>Files of the parts that are there, without the manifest.</summary>
        public Dictionary<string, byte[]> Files { get; private set; }
        /// <summary>The part of each file that the manifest lists: "policy" or "training".</summary>
        public Dictionary<string, string> Parts { get; private set; }
        /// <summary>SHA-256 of the manifest: bundles with the same one hold the same.</summary>
        public string Digest { get; private set; }
        public string Name { get; private set; }
        public long Version { get; private set; }
        public string Exported { get; private set; }

        Bundle() { }

        public bool HasTraining
        {
            get
            {
                foreach (string name in Files.Keys)
                    if (Parts[name] == "training") return true;
                return false;
            }
        }

        /// <summary>Negative if this is older than <paramref name="other"/>, positive if newer.</summary>
        public int CompareAge(Bundle other) =>
            Version != other.Version ? Version.CompareTo(other.Version) : string.CompareOrdinal(Exported, other.Exported);

        /// <summary>Reads a zip file or a folder.</summary>
        /// <exception cref="BundleException">It is missing, damaged, of a newer format or no bundle.</exception>
        public static Bundle Load(string path)
        {
            try
            {
                if (Directory.Exists(path)) return From(path, ReadFolder(path));
                if (new FileInfo(path).Length > Archive.MaxBytes) throw TooMuch(path);
                return FromZip(path, File.ReadAllBytes(path));
            }
            catch (Exception error) when (error is IOException || error is UnauthorizedAccessException)
            {
                throw new BundleException($"Cannot read the bundle '{path}' ({error.Message}): check the path.", error);
            }
        }

        /// <summary>Reads a zip file that is in memory already, as from the APK of an Android application.</summary>
        /// <param name="where">what it is called in messages</param>
        public static Bundle FromZip(string where, byte[] data) => From(where, Archive.Unpack(where, data));

        /// <summary>The files of the policy, or all, with the manifest and its hash: a whole bundle.</summary>
        public Dictionary<string, byte[]> Contents(bool withTraining)
        {
            var contents = new Dictionary<string, byte[]>(StringComparer.Ordinal)
            {
                [ManifestFile] = ManifestBytes,
                [HashFile] = HashLine(ManifestBytes),
            };
            foreach (var file in Files)
                if (withTraining || Parts[file.Key] == "policy") contents[file.Key] = file.Value;
            return contents;
        }

        static Dictionary<string, byte[]> ReadFolder(string path)
        {
            var files = new Dictionary<string, byte[]>(StringComparer.Ordinal);
            long total = 0;
            var pending = new Stack<string>();
            pending.Push("");
            while (pending.Count > 0)
            {
                string below = pending.Pop();
                foreach (FileSystemInfo entry in new DirectoryInfo(Path.Combine(path, below)).GetFileSystemInfos())
                {
                    string name = below + entry.Name;
                    if ((entry.Attributes & FileAttributes.ReparsePoint) != 0)
                        throw new BundleException($"Bundle '{path}' holds the link '{name}': put the file itself.");
                    if (entry is DirectoryInfo)
                    {
                        pending.Push(name + "/");
                        continue;
                    }
                    total += ((FileInfo)entry).Length;
                    if (total > Archive.MaxBytes || files.Count == Archive.MaxFiles) throw TooMuch(path);
                    files[name] = File.ReadAllBytes(entry.FullName);
                }
            }
            BundleNames.Check(path, files.Keys);
            return files;
        }

        static Bundle From(string where, Dictionary<string, byte[]> contents)
        {
            if (!contents.TryGetValue(ManifestFile, out byte[] text))
                throw new BundleException($"'{where}' has no {ManifestFile}, so it is no bundle: export it again.");
            contents.TryGetValue(HashFile, out byte[] line);
            if (line == null || Encoding.ASCII.GetString(line) != Encoding.ASCII.GetString(HashLine(text)))
                throw new BundleException($"Bundle '{where}' is damaged ({ManifestFile} does not fit {HashFile}): copy it again.");
            var bundle = new Bundle { ManifestBytes = text, Digest = Sha256(text), Parts = new Dictionary<string, string>(StringComparer.Ordinal) };
            bundle.ReadManifest(where);
            bundle.TakeFiles(where, contents);
            return bundle;
        }

        void ReadManifest(string where)
        {
            object value;
            try
            {
                value = Json.Parse(new UTF8Encoding(false, true).GetString(ManifestBytes));
            }
            catch (Exception error) when (error is FormatException || error is ArgumentException || error is OverflowException)
            {
                throw new BundleException($"'{where}' has a {ManifestFile} that is not JSON: export it again.", error);
            }
            if (Json.Get(value, "format") is long format && format > Format)
                throw new BundleException($"Bundle '{where}' has format {format}, this host reads up to {Format}: upgrade it.");
            Manifest = value as Dictionary<string, object>;
            Name = Json.Get(value, "name") as string;
            Exported = Json.Get(value, "exported") as string;
            if (!(Json.Get(value, "format") is long known && known >= 1) || Name == null || !NameForm.IsMatch(Name) ||
                !(Json.Get(value, "version") is long version && version >= 0 && version <= int.MaxValue) ||
                Exported == null || !TimeForm.IsMatch(Exported))
                throw new BundleException($"'{where}' has a {ManifestFile} that lacks a usable field: export it again.");
            Version = version;
        }

        void TakeFiles(string where, Dictionary<string, byte[]> contents)
        {
            var rows = Json.Get(Manifest, "files") as List<object> ?? new List<object>();
            var names = new List<string> { ManifestFile, HashFile };
            foreach (object row in rows)
            {
                string name = Json.Get(row, "name") as string, part = Json.Get(row, "part") as string;
                if (name == null || (part != "policy" && part != "training"))
                    throw new BundleException($"'{where}' has a {ManifestFile} that lacks a usable field: export it again.");
                names.Add(name);
                Parts[name] = part;
            }
            BundleNames.Check(where, names);
            if (!Parts.ContainsValue("policy"))
                throw new BundleException($"'{where}' lists no file of the policy: export it again.");
            Files = new Dictionary<string, byte[]>(StringComparer.Ordinal);
            foreach (string name in contents.Keys)
            {
                if (name == ManifestFile || name == HashFile) continue;
                if (!Parts.ContainsKey(name)) throw Damaged(where, name, "not in the manifest");
                Files[name] = contents[name];
            }
            bool training = HasTraining;
            foreach (object row in rows)
            {
                string name = (string)Json.Get(row, "name");
                if (!Files.TryGetValue(name, out byte[] data))
                {
                    if (training || Parts[name] == "policy") throw Damaged(where, name, "missing");
                }
                else if (!(Json.Get(row, "bytes") is long bytes) || bytes != data.Length ||
                         Json.Get(row, "sha256") as string != Sha256(data))
                {
                    throw Damaged(where, name, "altered");
                }
            }
        }

        static BundleException Damaged(string where, string name, string finding) =>
            new BundleException($"Bundle '{where}' is damaged ({name}: {finding}): copy it or export it again.");

        static BundleException TooMuch(string where) => new BundleException(
            $"'{where}' has more than {Archive.MaxBytes >> 20} MiB or {Archive.MaxFiles} files: that is no bundle of a policy.");

        static byte[] HashLine(byte[] text) => Encoding.ASCII.GetBytes($"{Sha256(text)}  {ManifestFile}\n");

        static string Sha256(byte[] data)
        {
            using (var hash = SHA256.Create())
                return BitConverter.ToString(hash.ComputeHash(data)).Replace("-", "").ToLowerInvariant();
        }
    }
}
