using System.Collections.Generic;
using UnityEditor;
using UnityEngine;
using UnityEngine.Animations;
using UnityEngine.Playables;

namespace Synthjax.Editor
{
    /// <summary>Bakes a clip, a humanoid's too, onto the transforms of a character, for "synthjax motion import".</summary>
    /// <remarks>
    /// A humanoid's clip holds muscles, which only its Avatar can turn into poses. The baked one holds what the importer
    /// needs and nothing else does: position, rotation and scale of the bones and of all that is above them, but for fingers
    /// and faces. The bones get the names of HumanBodyBones, so it is not meant to be played back on the character.
    /// </remarks>
    public sealed class BakeClipWizard : ScriptableWizard
    {
        [Tooltip("A character in the scene, or a prefab of one, that the clip is made for")]
        public Animator character;
        public AnimationClip clip;

        [MenuItem("Synthjax/Bake clip")]
        static void Open() => DisplayWizard<BakeClipWizard>("Bake clip for synthjax", "Bake");

        void OnWizardUpdate() => isValid = character != null && clip != null;

        void OnWizardCreate()
        {
            if (EditorSettings.serializationMode != SerializationMode.ForceText)
            {
                Debug.LogError("The importer reads text: set Project Settings/Editor/Asset Serialization to Force Text.");
                return;
            }
            string path = EditorUtility.SaveFilePanelInProject("Save the baked clip", clip.name + "_baked", "anim", "");
            if (path.Length == 0) return;
            AssetDatabase.CreateAsset(Bake(character, clip), path);
            AssetDatabase.SaveAssets();
            Debug.Log($"synthjax motion import \"{path}\"");
        }

        static AnimationClip Bake(Animator character, AnimationClip clip)
        {
            GameObject copy = Instantiate(character.gameObject);
            var graph = default(PlayableGraph);
            try
            {
                copy.transform.SetPositionAndRotation(Vector3.zero, Quaternion.identity);
                var animator = copy.GetComponent<Animator>();
                animator.runtimeAnimatorController = null;
                animator.applyRootMotion = true;
                animator.cullingMode = AnimatorCullingMode.AlwaysAnimate;
                AnimationPlayableUtilities.PlayClip(animator, clip, out graph);
                graph.SetTimeUpdateMode(DirectorUpdateMode.Manual);

                var tracks = new List<Track>();
                foreach (KeyValuePair<Transform, string> bone in Paths(animator)) tracks.Add(new Track(bone.Key, bone.Value));
                int frames = Mathf.Max(1, Mathf.RoundToInt(clip.length * clip.frameRate));
                for (int frame = 0; frame <= frames; frame++)
                {
                    graph.Evaluate(frame == 0 ? 0f : clip.length / frames);
                    foreach (Track track in tracks) track.Record(frame * clip.length / frames);
                }

                var bindings = new List<EditorCurveBinding>();
                var curves = new List<AnimationCurve>();
                foreach (Track track in tracks) track.AddTo(bindings, curves);
                var baked = new AnimationClip { frameRate = clip.frameRate };
                AnimationUtility.SetEditorCurves(baked, bindings.ToArray(), curves.ToArray());
                baked.EnsureQuaternionContinuity();
                return baked;
            }
            finally
            {
                if (graph.IsValid()) graph.Destroy();
                DestroyImmediate(copy);
            }
        }

        /// <summary>The bones and all that is above them, each with its path; of what is no humanoid, everything.</summary>
        static Dictionary<Transform, string> Paths(Animator animator)
        {
            Transform root = animator.transform;
            var names = new Dictionary<Transform, string>();
            if (animator.isHuman)
            {
                for (HumanBodyBones bone = 0; bone < HumanBodyBones.LastBone; bone++)
                {
                    if (bone > HumanBodyBones.RightToes && bone != HumanBodyBones.UpperChest) continue;
                    Transform transform = animator.GetBoneTransform(bone);
                    if (transform != null) names[transform] = bone.ToString();
                }
            }
            else
            {
                foreach (Transform transform in root.GetComponentsInChildren<Transform>(true)) names[transform] = transform.name;
            }
            var paths = new Dictionary<Transform, string> { [root] = "" };
            foreach (Transform bone in names.Keys)
            {
                var missing = new Stack<Transform>();
                for (Transform transform = bone; !paths.ContainsKey(transform); transform = transform.parent) missing.Push(transform);
                foreach (Transform transform in missing)
                {
                    string name = names.TryGetValue(transform, out string known) ? known : transform.name;
                    paths[transform] = transform.parent == root ? name : $"{paths[transform.parent]}/{name}";
                }
            }
            return paths;
        }

        /// <summary>What a transform does.</summary>
        sealed class Track
        {
            static readonly string[] Properties =
            {
                "m_LocalPosition.x", "m_LocalPosition.y", "m_LocalPosition.z",
                "m_LocalRotation.x", "m_LocalRotation.y", "m_LocalRotation.z", "m_LocalRotation.w",
                "m_LocalScale.x", "m_LocalScale.y", "m_LocalScale.z",
            };
            const int Scale = 7; // where its properties begin; it stays as it is, so one key is enough

            readonly Transform transform;
            readonly string path;
            readonly List<Keyframe>[] keys = new List<Keyframe>[Properties.Length];

            internal Track(Transform transform, string path)
            {
                this.transform = transform;
                this.path = path;
                for (int i = 0; i < keys.Length; i++) keys[i] = new List<Keyframe>();
            }

            internal void Record(float time)
            {
                Vector3 position = transform.localPosition, scale = transform.localScale;
                Quaternion rotation = transform.localRotation;
                float[] values =
                {
                    position.x, position.y, position.z, rotation.x, rotation.y, rotation.z, rotation.w, scale.x, scale.y, scale.z,
                };
                for (int i = 0; i < keys.Length; i++)
                    if (i < Scale || keys[i].Count == 0) keys[i].Add(new Keyframe(time, values[i]));
            }

            internal void AddTo(List<EditorCurveBinding> bindings, List<AnimationCurve> curves)
            {
                for (int i = 0; i < keys.Length; i++)
                {
                    bindings.Add(EditorCurveBinding.FloatCurve(path, typeof(Transform), Properties[i]));
                    curves.Add(new AnimationCurve(keys[i].ToArray()));
                }
            }
        }
    }
}
