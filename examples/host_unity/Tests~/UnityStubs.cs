// The little of Unity and of its packages that the host names, so that the tests can compile it without them.
// Written by hand from their documentation: that it compiles against this proves its own grammar and types alone.
using System;
using System.Collections.Generic;

namespace UnityEngine
{
    public class Object
    {
        public HideFlags hideFlags;
        public string name;
        public static void DontDestroyOnLoad(Object target) { }
        public static void DestroyImmediate(Object target) { }
        public static T Instantiate<T>(T original) where T : Object => null;
    }
    public class Component : Object
    {
        public GameObject gameObject;
        public Transform transform;
        public T[] GetComponentsInChildren<T>(bool includeInactive) => null;
    }
    public class GameObject : Object { public Transform transform; public T GetComponent<T>() => default(T); }
    public class Transform : Component
    {
        public Transform parent;
        public Vector3 localPosition, localScale;
        public Quaternion localRotation;
        public void SetPositionAndRotation(Vector3 position, Quaternion rotation) { }
    }
    public struct Vector3 { public float x, y, z; public static Vector3 zero; }
    public struct Quaternion { public float x, y, z, w; public static Quaternion identity; }
    public static class Mathf { public static int Max(int a, int b) => 0; public static int RoundToInt(float f) => 0; }
    public struct Keyframe { public Keyframe(float time, float value) { } }
    public class AnimationCurve { public AnimationCurve(params Keyframe[] keys) { } }
    public class AnimationClip : Object { public float length, frameRate; public void EnsureQuaternionContinuity() { } }
    public class RuntimeAnimatorController : Object { }
    public enum AnimatorCullingMode { AlwaysAnimate }
    public enum HumanBodyBones { Hips, RightToes = 20, UpperChest = 54, LastBone = 55 }
    public class Animator : Component
    {
        public bool applyRootMotion, isHuman;
        public AnimatorCullingMode cullingMode;
        public RuntimeAnimatorController runtimeAnimatorController;
        public Transform GetBoneTransform(HumanBodyBones humanBoneId) => null;
    }
    public class MonoBehaviour : Component { }
    public class ScriptableObject : Object { }
    [Flags] public enum HideFlags { NotEditable = 8 }
    public class TooltipAttribute : Attribute { public TooltipAttribute(string text) { } }
    public static class Application { public static string persistentDataPath, streamingAssetsPath, dataPath; }
    public static class Debug { public static void Log(object message) { } public static void LogError(object message) { } }
}

namespace UnityEngine.Playables
{
    public enum DirectorUpdateMode { Manual }
    public struct PlayableGraph
    {
        public bool IsValid() => false;
        public void SetTimeUpdateMode(DirectorUpdateMode value) { }
        public void Evaluate(float deltaTime) { }
        public void Destroy() { }
    }
}

namespace UnityEngine.Animations
{
    public struct AnimationClipPlayable { }
    public static class AnimationPlayableUtilities
    {
        public static AnimationClipPlayable PlayClip(Animator animator, AnimationClip clip, out Playables.PlayableGraph graph)
        {
            graph = default(Playables.PlayableGraph);
            return default(AnimationClipPlayable);
        }
    }
}

namespace UnityEngine.Networking
{
    public class DownloadHandler { public byte[] data; }
    public class UnityWebRequest : IDisposable
    {
        public enum Result { InProgress, Success }
        public Result result;
        public string error;
        public DownloadHandler downloadHandler;
        public static UnityWebRequest Get(string address) => null;
        public object SendWebRequest() => null;
        public void Dispose() { }
    }
}

namespace UnityEditor
{
    public class FilePathAttribute : Attribute
    {
        public enum Location { ProjectFolder }
        public FilePathAttribute(string path, Location location) { }
    }
    public class ScriptableSingleton<T> : UnityEngine.ScriptableObject { public static T instance; protected void Save(bool asText) { } }
    public enum SettingsScope { Project }
    public class SettingsProviderAttribute : Attribute { }
    public class SettingsProvider
    {
        public Action<string> guiHandler;
        public SettingsProvider(string path, SettingsScope scope) { }
    }
    public class SerializedProperty { }
    public class SerializedObject
    {
        public SerializedObject(UnityEngine.Object target) { }
        public SerializedProperty FindProperty(string name) => null;
        public bool ApplyModifiedProperties() => false;
    }
    public static class EditorGUILayout { public static bool PropertyField(SerializedProperty property) => false; }
    public static class AssetDatabase
    {
        public static void Refresh() { }
        public static void CreateAsset(UnityEngine.Object asset, string path) { }
        public static void SaveAssets() { }
    }
    public class ScriptableWizard : UnityEngine.ScriptableObject
    {
        public bool isValid;
        public static T DisplayWizard<T>(string title, string createButtonName) where T : ScriptableWizard => null;
    }
    public enum SerializationMode { ForceText = 2 }
    public static class EditorSettings { public static SerializationMode serializationMode; }
    public static class EditorUtility
    {
        public static string SaveFilePanelInProject(string title, string defaultName, string extension, string message) => null;
    }
    public struct EditorCurveBinding
    {
        public static EditorCurveBinding FloatCurve(string inPath, Type inType, string inPropertyName) => default(EditorCurveBinding);
    }
    public static class AnimationUtility
    {
        public static void SetEditorCurves(
            UnityEngine.AnimationClip clip, EditorCurveBinding[] bindings, UnityEngine.AnimationCurve[] curves) { }
    }
    public class MenuItem : Attribute { public MenuItem(string path) { } }
}

namespace UnityEditor.Build
{
    public class BuildFailedException : Exception { public BuildFailedException(string message) : base(message) { } }
    public interface IPreprocessBuildWithReport { int callbackOrder { get; } void OnPreprocessBuild(Reporting.BuildReport report); }
    public interface IPostprocessBuildWithReport { int callbackOrder { get; } void OnPostprocessBuild(Reporting.BuildReport report); }
}

namespace UnityEditor.Build.Reporting
{
    public class BuildReport { }
}

namespace Unity.InferenceEngine
{
    public class ModelAsset { }
    public struct TensorShape { public int length; }
    public struct DynamicTensorShape { public TensorShape ToTensorShape() => default(TensorShape); }
    public abstract class Tensor : IDisposable { public TensorShape shape; public void Dispose() { } }
    public class Tensor<T> : Tensor
    {
        public Tensor(TensorShape shape) { }
        public void Upload(T[] values) { }
        public T[] DownloadToArray() => null;
    }
    public class Model
    {
        public struct Input { public string name; public DynamicTensorShape shape; }
        public struct Output { public string name; }
        public List<Input> inputs;
        public List<Output> outputs;
    }
    public static class ModelLoader { public static Model Load(ModelAsset asset) => null; }
    public enum BackendType { CPU }
    public class Worker : IDisposable
    {
        public Worker(Model model, BackendType backend) { }
        public void SetInput(string name, Tensor tensor) { }
        public void Schedule() { }
        public Tensor PeekOutput(string name) => null;
        public void Dispose() { }
    }
}

namespace TensorFlowLite
{
    public class InterpreterOptions { public int threads; }
    public class SignatureRunner : IDisposable
    {
        public struct TensorInfo { public int[] shape; }
        public string[] InputSignatureNames, OutputSignatureNames;
        public SignatureRunner(string signature, byte[] model, InterpreterOptions options) { }
        public void AllocateSignatureTensors() { }
        public TensorInfo GetSignatureInputInfo(string name) => default(TensorInfo);
        public TensorInfo GetSignatureOutputInfo(string name) => default(TensorInfo);
        public void SetSignatureInputTensorData(string name, Array values) { }
        public void GetSignatureOutputTensorData(string name, Array values) { }
        public void Invoke() { }
        public void Dispose() { }
    }
}
