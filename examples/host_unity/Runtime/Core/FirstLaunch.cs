using System;
using System.Collections.Generic;
using System.IO;
using System.Threading.Tasks;

namespace Synthjax
{
    /// <summary>Installs the bundles that came with the application, in the background; skills wait for it.</summary>
    public sealed class FirstLaunch
    {
        readonly string to;
        volatile bool complete;
        volatile string error;

        /// <param name="to">folder of the application's own data; each policy gets a folder in it</param>
        public FirstLaunch(string to) { this.to = to; }

        /// <summary>Whether what fine-tuning needs is installed too; to be set before <see cref="Begin"/>.</summary>
        public bool WithTraining { get; set; }

        /// <summary>Whether all is installed that could be. It stays true.</summary>
        public bool IsComplete => complete;

        /// <summary>Why a bundle was not installed, or null. What was installed before is there nevertheless.</summary>
        public string Error => error;

        /// <summary>The folder of installations of a policy.</summary>
        public string FolderOf(string policy) => Path.Combine(to, policy);

        /// <summary>Begins; to be called once.</summary>
        /// <param name="bundles">contents of zip files by name, each read when its turn comes, off this thread</param>
        public Task Begin(IEnumerable<KeyValuePair<string, Func<byte[]>>> bundles)
        {
            return Task.Run(() =>
            {
                try
                {
                    foreach (var entry in bundles)
                    {
                        try
                        {
                            Bundle bundle = Bundle.FromZip(entry.Key, entry.Value());
                            Installer.Install(bundle, FolderOf(bundle.Name), WithTraining);
                        }
                        catch (Exception cause)
                        {
                            error = cause.Message; // the other bundles are independent of this one
                        }
                    }
                }
                finally
                {
                    complete = true;
                }
            });
        }
    }
}
