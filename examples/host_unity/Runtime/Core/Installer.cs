using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;

namespace Synthjax
{
    /// <summary>What an installation did.</summary>
    public sealed class Installation
    {
        public bool Installed; // false: what was there stays
        public string Reason;
        public Bundle Bundle; // the one that is there now
    }

    /// <summary>
    /// Installs bundles: the newer one wins, and a kill at any moment leaves the old or the new one. The steps
    /// are numbered as in docs/bundles.md.
    /// </summary>
    public static class Installer
    {
        const string Pointer = "current.json", PartialPointer = ".current.json.partial", Lock = "installing.lock";
        const string Partial = ".partial";
        static readonly Regex FolderForm = new Regex(@"\A[0-9a-f]{16}-[1-9][0-9]*\z", RegexOptions.CultureInvariant);

        /// <summary>Installs a bundle into the folder <paramref name="to"/>, unless what is there is as new.</summary>
        /// <exception cref="BundleException">It cannot be installed; what was there stays.</exception>
        public static Installation Install(Bundle bundle, string to, bool withTraining = false)
        {
            if (File.Exists(Path.Combine(to, Bundle.ManifestFile)))
                throw new BundleException($"'{to}' is itself a bundle: choose another folder to install into.");
            try
            {
                Directory.CreateDirectory(to); // 2
                using (FileStream mine = TakeLock(to))
                {
                    try
                    {
                        RemoveRemains(to); // 3
                        Bundle there = Usable(to); // 4
                        string reason = there == null ? null : ReasonToKeep(bundle, withTraining, there, to);
                        if (reason != null) return new Installation { Reason = reason, Bundle = there };
                        Switch(bundle, withTraining, to); // 5 to 8
                    }
                    finally
                    {
                        RemoveRemains(to); // 9
                    }
                    return new Installation { Installed = true, Reason = "it is newer, or there was none", Bundle = LoadInstalled(to) };
                }
            }
            catch (Exception error) when (error is IOException || error is UnauthorizedAccessException)
            {
                throw new BundleException(
                    $"Cannot install into '{to}' ({error.Message}): make room, or choose a folder that you may write; " +
                    "what was installed is as it was.", error);
            }
        }

        /// <summary>The bundle that is installed in <paramref name="to"/>, verified.</summary>
        /// <exception cref="BundleException">There is none, or it is damaged.</exception>
        public static Bundle LoadInstalled(string to)
        {
            while (true)
            {
                string folder = InstalledFolder(to);
                if (folder == null) throw new BundleException($"No bundle is installed in '{to}': install one.");
                try
                {
                    return Bundle.Load(folder);
                }
                catch (BundleException)
                {
                    if (InstalledFolder(to) == folder) throw; // otherwise an installation has just replaced it
                }
            }
        }

        /// <summary>The folder of the bundle that is installed, or null.</summary>
        public static string InstalledFolder(string to)
        {
            object pointer;
            try
            {
                pointer = Json.Parse(new UTF8Encoding(false, true).GetString(File.ReadAllBytes(Path.Combine(to, Pointer))));
            }
            catch (Exception error) when (error is FileNotFoundException || error is DirectoryNotFoundException ||
                                          error is FormatException || error is ArgumentException || error is OverflowException)
            {
                return null; // nothing, or nothing that an installation wrote
            }
            catch (Exception error) when (error is IOException || error is UnauthorizedAccessException)
            {
                throw new BundleException($"Cannot read '{to}' ({error.Message}): check the folder.", error);
            }
            if (Json.Get(pointer, "format") is long format && format > Bundle.Format)
                throw new BundleException($"What is installed in '{to}' has format {format}, this host reads up to {Bundle.Format}: upgrade it.");
            string folder = Json.Get(pointer, "folder") as string;
            return folder != null && FolderForm.IsMatch(folder) ? Path.Combine(to, folder) : null;
        }

        static Bundle Usable(string to)
        {
            string folder = InstalledFolder(to);
            try
            {
                return folder == null ? null : Bundle.Load(folder);
            }
            catch (BundleException)
            {
                return null; // damaged counts as not there
            }
        }

        static string ReasonToKeep(Bundle bundle, bool withTraining, Bundle there, string to)
        {
            if (bundle.Name != there.Name)
                throw new BundleException($"'{to}' is the place of '{there.Name}', not of '{bundle.Name}': choose another folder.");
            if (bundle.Digest == there.Digest)
                return withTraining && bundle.HasTraining && !there.HasTraining ? null : "it is installed already";
            int age = bundle.CompareAge(there);
            if (age == 0) return "another bundle of the same version and time of export is installed";
            return age < 0 ? "a newer bundle is installed" : null;
        }

        static void Switch(Bundle bundle, bool withTraining, string to)
        {
            int number = 1; // 5
            string folder;
            do folder = Path.Combine(to, $"{bundle.Digest.Substring(0, 16)}-{number++}");
            while (Directory.Exists(folder) || File.Exists(folder));
            Directory.CreateDirectory(folder + Partial); // 6
            foreach (KeyValuePair<string, byte[]> file in bundle.Contents(withTraining))
            {
                string path = Path.Combine(folder + Partial, file.Key);
                Directory.CreateDirectory(Path.GetDirectoryName(path));
                Write(path, file.Value);
            }
            Directory.Move(folder + Partial, folder); // 7
            string pointer = Path.Combine(to, Pointer), partial = Path.Combine(to, PartialPointer); // 8
            Replace(pointer, partial, Encoding.ASCII.GetBytes($"{{\"format\": {Bundle.Format}, \"folder\": \"{Path.GetFileName(folder)}\"}}\n"));
        }

        /// <summary>Replaces the file <paramref name="path"/> as a whole; a kill leaves the old one or the new one.</summary>
        internal static void Replace(string path, string partial, byte[] data)
        {
            Write(partial, data);
            if (File.Exists(path)) File.Replace(partial, path, null);
            else File.Move(partial, path);
        }

        static void Write(string path, byte[] data)
        {
            using (var file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None))
            {
                file.Write(data, 0, data.Length);
                file.Flush(true); // to the disk
            }
        }

        static void RemoveRemains(string to)
        {
            string current = InstalledFolder(to);
            File.Delete(Path.Combine(to, PartialPointer));
            foreach (string path in Directory.GetDirectories(to))
            {
                string name = Path.GetFileName(path);
                if (name.EndsWith(Partial, StringComparison.Ordinal)) name = name.Substring(0, name.Length - Partial.Length);
                if (!FolderForm.IsMatch(name) || path == current) continue;
                try
                {
                    Directory.Delete(path, true);
                }
                catch (Exception error) when (error is IOException || error is UnauthorizedAccessException)
                {
                    // Waits for the next installation, such as a file that is open on Windows.
                }
            }
        }

        // flock excludes processes on Unix, in every language; FileShare.None alone the threads of this one.
        static FileStream TakeLock(string to)
        {
            string path = Path.Combine(to, Lock);
            try
            {
                var file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
                if (!OnUnix || flock(file.SafeFileHandle.DangerousGetHandle().ToInt32(), ExclusiveNow) == 0) return file;
                file.Dispose();
            }
            catch (IOException) when (File.Exists(path)) { }
            throw new BundleException($"Somebody else is installing into '{to}': wait until that has ended.");
        }

        const int ExclusiveNow = 2 | 4;
        static bool OnUnix => Environment.OSVersion.Platform == PlatformID.Unix;

        [DllImport("libc", SetLastError = true)]
        static extern int flock(int descriptor, int operation);
    }
}
