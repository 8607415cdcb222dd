using UnityEditor;
using UnityEngine;

namespace Synthjax.Editor
{
    /// <summary>Which bundles a build takes; kept among the project's settings.</summary>
    [FilePath("ProjectSettings/SynthjaxBundles.asset", FilePathAttribute.Location.ProjectFolder)]
    public sealed class BundleBuildSettings : ScriptableSingleton<BundleBuildSettings>
    {
        [Tooltip("Whether builds take bundles at all")]
        public bool includeBundles = true;
        [Tooltip("Folder with the zip files of 'synthjax export', relative to the project")]
        public string source = "Bundles";
        [Tooltip("Names of policies to take, with * and ?; all if empty")]
        public string nameFilter = "";
        [Tooltip("Whether to remove them from the StreamingAssets after the build")]
        public bool cleanUpAfterBuild = true;

        [SettingsProvider]
        static SettingsProvider Page() => new SettingsProvider("Project/Synthjax", SettingsScope.Project)
        {
            guiHandler = _ =>
            {
                instance.hideFlags &= ~HideFlags.NotEditable;
                var settings = new SerializedObject(instance);
                foreach (string field in new[] { nameof(includeBundles), nameof(source), nameof(nameFilter), nameof(cleanUpAfterBuild) })
                    EditorGUILayout.PropertyField(settings.FindProperty(field));
                if (settings.ApplyModifiedProperties()) instance.Save(true);
            },
        };
    }
}
