using System;
using System.Collections;
using System.Collections.Generic;
using System.IO;
using UnityEngine;
using UnityEngine.Networking;

namespace Synthjax
{
    /// <summary>
    /// Installs the bundles that came with the application, in the background, when it starts. One of them
    /// stands in the first scene; skills wait for <see cref="FirstLaunch.IsComplete"/>.
    /// </summary>
    public sealed class BundleBootstrap : MonoBehaviour
    {
        public const string Folder = "SynthBundles";

        [Tooltip("Also install what fine-tuning on the device needs")]
        public bool withTraining;

        static FirstLaunch launch;

        /// <summary>The installation of this start of the application.</summary>
        public static FirstLaunch Launch =>
            launch ?? (launch = new FirstLaunch(Path.Combine(Application.persistentDataPath, Folder)));

        static bool begun;

        IEnumerator Start()
        {
            if (begun) yield break;
            begun = true;
            DontDestroyOnLoad(gameObject); // a coroutine ends with its scene
            var bundles = new List<KeyValuePair<string, Func<byte[]>>>();
            byte[] index = null;
            yield return Fetch(BundleStaging.Index, data => index = data);
            if (index != null)
            {
                // Requests belong to this thread; what is long, hashing and writing, does not.
                foreach (string name in BundleStaging.ReadIndex(System.Text.Encoding.UTF8.GetString(index)))
                {
                    byte[] content = null;
                    yield return Fetch(name, data => content = data);
                    if (content != null) bundles.Add(new KeyValuePair<string, Func<byte[]>>(name, () => content));
                }
            }
            Launch.WithTraining = withTraining;
            Launch.Begin(bundles);
            while (!Launch.IsComplete) yield return null;
            if (Launch.Error != null) Debug.LogError(Launch.Error);
        }

        /// <summary>A file among the StreamingAssets, which on Android is no file but an entry of the APK.</summary>
        static IEnumerator Fetch(string name, Action<byte[]> done)
        {
            string path = Path.Combine(Application.streamingAssetsPath, Folder, name);
            string address = path.Contains("://") ? path : new Uri(path).AbsoluteUri;
            using (UnityWebRequest request = UnityWebRequest.Get(address))
            {
                yield return request.SendWebRequest();
                if (request.result == UnityWebRequest.Result.Success) done(request.downloadHandler.data);
                else Debug.LogError($"Cannot read '{name}' among the StreamingAssets: {request.error}");
            }
        }
    }
}
