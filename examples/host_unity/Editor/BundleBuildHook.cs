using System.IO;
using UnityEditor;
using UnityEditor.Build;
using UnityEditor.Build.Reporting;
using UnityEngine;

namespace Synthjax.Editor
{
    /// <summary>Puts bundles among the StreamingAssets before a build, and takes them away after it.</summary>
    public sealed class BundleBuildHook : IPreprocessBuildWithReport, IPostprocessBuildWithReport
    {
        const string Models = "Assets/SynthModels";

        static string Staged => Path.Combine(Application.dataPath, "StreamingAssets", BundleBootstrap.Folder);
        static string Source => Path.Combine(Path.GetDirectoryName(Application.dataPath), BundleBuildSettings.instance.source);

        public int callbackOrder => 0;

        public void OnPreprocessBuild(BuildReport report)
        {
            // Also what a build that failed has left, for which Unity does not call OnPostprocessBuild.
            BundleStaging.CleanUp(Staged);
            if (!BundleBuildSettings.instance.includeBundles) return;
            try
            {
                var names = BundleStaging.Stage(Source, Staged, BundleBuildSettings.instance.nameFilter);
                Debug.Log($"Bundles in this build: {string.Join(", ", names)}");
            }
            catch (BundleException error)
            {
                throw new BuildFailedException(error.Message);
            }
            AssetDatabase.Refresh();
        }

        public void OnPostprocessBuild(BuildReport report)
        {
            if (!BundleBuildSettings.instance.cleanUpAfterBuild) return;
            BundleStaging.CleanUp(Staged);
            AssetDatabase.Refresh();
        }

        /// <summary>Sentis imports models in the editor alone; afterwards they are assets beside the bundle's name.</summary>
        [MenuItem("Synthjax/Extract models for Sentis")]
        static void Extract()
        {
            foreach (string path in Directory.GetFiles(Source, "*.zip", SearchOption.AllDirectories))
            {
                Bundle bundle = Bundle.Load(path);
                string folder = Path.Combine(Models, bundle.Name);
                Directory.CreateDirectory(folder);
                foreach (string file in new[] { DeployedPolicy.PolicyFile, DeployedPolicy.ObserveFile })
                    if (bundle.Files.TryGetValue(file, out byte[] content)) File.WriteAllBytes(Path.Combine(folder, file), content);
            }
            AssetDatabase.Refresh();
        }
    }
}
