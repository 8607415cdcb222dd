#if SYNTHJAX_SENTIS
using System.Collections.Generic;
using Unity.InferenceEngine;

namespace Synthjax
{
    /// <summary>
    /// A model on Unity Sentis. It imports .tflite in the editor alone, so models are assets of the build and not
    /// the files of the bundle: "Synthjax/Extract models for Sentis" in the editor's menu puts them there.
    /// </summary>
    public sealed class SentisModel : INamedModel
    {
        readonly string file;
        readonly Worker worker;
        readonly Dictionary<string, Tensor<float>> inputs = new Dictionary<string, Tensor<float>>();
        readonly Dictionary<string, int> outputs = new Dictionary<string, int>();

        /// <summary>Opens the assets in place of the bundle's files.</summary>
        public static OpenModel From(ModelAsset policy, ModelAsset observe) => (file, content, signature) =>
        {
            if (file == FineTuning.ModelFile)
                throw new BundleException("Sentis runs the first signature of a model alone: learn with TfLiteModel or LiteRtModel.");
            return new SentisModel(file, file == DeployedPolicy.ObserveFile ? observe : policy);
        };

        public SentisModel(string file, ModelAsset asset)
        {
            this.file = file;
            Model model = ModelLoader.Load(asset);
            worker = new Worker(model, BackendType.CPU); // waiting for a GPU costs more than a small network
            foreach (Model.Input input in model.inputs)
            {
                var tensor = new Tensor<float>(input.shape.ToTensorShape());
                inputs[input.name] = tensor;
                worker.SetInput(input.name, tensor);
            }
            worker.Schedule(); // the sizes of outputs are known after a run
            foreach (Model.Output output in model.outputs)
                outputs[output.name] = ((Tensor<float>)worker.PeekOutput(output.name)).shape.length;
        }

        public int InputSize(string name) => inputs.TryGetValue(name, out Tensor<float> tensor) ? tensor.shape.length : 0;
        public int OutputSize(string name) => outputs.TryGetValue(name, out int size) ? size : 0;

        public void Set(string name, float[] values)
        {
            if (InputSize(name) != values.Length) throw Unfit(name, InputSize(name), values.Length);
            inputs[name].Upload(values);
        }

        public void Run()
        {
            foreach (KeyValuePair<string, Tensor<float>> input in inputs) worker.SetInput(input.Key, input.Value);
            worker.Schedule();
        }

        public void Get(string name, float[] values)
        {
            if (OutputSize(name) != values.Length) throw Unfit(name, OutputSize(name), values.Length);
            ((Tensor<float>)worker.PeekOutput(name)).DownloadToArray().CopyTo(values, 0);
        }

        public void Dispose()
        {
            worker.Dispose();
            foreach (Tensor<float> tensor in inputs.Values) tensor.Dispose();
        }

        BundleException Unfit(string name, int size, int given) =>
            new BundleException($"{file}: '{name}' has {size} numbers instead of {given}: extract the models of this bundle.");
    }
}
#endif
