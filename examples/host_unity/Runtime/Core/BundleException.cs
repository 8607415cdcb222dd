using System;

namespace Synthjax
{
    /// <summary>A bundle that cannot be used, or a folder; the message says what to do.</summary>
    public sealed class BundleException : Exception
    {
        public BundleException(string message, Exception cause = null) : base(message, cause) { }
    }
}
