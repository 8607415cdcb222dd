#if SYNTHJAX_TFLITE
using TensorFlowLite;

namespace Synthjax
{
    /// <summary>A model on TF Lite for Unity (com.github.asus4.tflite), by the names of its signature.</summary>
    public sealed class TfLiteModel : INamedModel
    {
        readonly string file;
        readonly SignatureRunner runner;

        public static INamedModel Open(string file, byte[] content, string signature) => new TfLiteModel(file, content, signature);

        public TfLiteModel(string file, byte[] content, string signature)
        {
            this.file = file;
            runner = new SignatureRunner(signature, content, new InterpreterOptions { threads = 1 });
            runner.AllocateSignatureTensors();
        }

        public int InputSize(string name) => Has(runner.InputSignatureNames, name) ? Size(runner.GetSignatureInputInfo(name).shape) : 0;
        public int OutputSize(string name) => Has(runner.OutputSignatureNames, name) ? Size(runner.GetSignatureOutputInfo(name).shape) : 0;

        public void Set(string name, float[] values)
        {
            Check(name, InputSize(name), values.Length);
            runner.SetSignatureInputTensorData(name, values);
        }

        public void Run() => runner.Invoke();

        public void Get(string name, float[] values)
        {
            Check(name, OutputSize(name), values.Length);
            runner.GetSignatureOutputTensorData(name, values);
        }

        public void Dispose() => runner.Dispose();

        static bool Has(string[] names, string name) => System.Array.IndexOf(names, name) >= 0;

        static int Size(int[] shape)
        {
            int size = 1;
            foreach (int length in shape) size *= length;
            return size;
        }

        void Check(string name, int size, int given)
        {
            if (size != given) throw new BundleException($"{file}: '{name}' has {size} numbers instead of {given}: export it again.");
        }
    }
}
#endif
