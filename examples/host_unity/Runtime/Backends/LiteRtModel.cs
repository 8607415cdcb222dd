using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;

namespace Synthjax
{
    /// <summary>A model on the C API of LiteRT 2.3 (libLiteRt.so, which is there for Android too).</summary>
    public sealed class LiteRtModel : INamedModel
    {
        const string Library = "LiteRt";
        const int Cpu = 1, Float32 = 1, ForReading = 0, ForWriting = 1;
        const int Accelerators = 24, LeastSeverity = 25, Integer = 2, Warning = 2;

        static IntPtr environment;

        readonly string file;
        readonly Side inputs = new Side(), outputs = new Side();
        GCHandle content; // has to outlive the model
        IntPtr model, compiled;
        UIntPtr signature;

        sealed class Side
        {
            public readonly Dictionary<string, int> Index = new Dictionary<string, int>();
            public IntPtr[] Buffers = new IntPtr[0];
            public int[] Sizes;

            public int Size(string name) => Index.TryGetValue(name, out int i) ? Sizes[i] : 0;
        }

        public static INamedModel Open(string file, byte[] content, string signature) => new LiteRtModel(file, content, signature);

        public LiteRtModel(string file, byte[] bytes, string key)
        {
            this.file = file;
            content = GCHandle.Alloc(bytes, GCHandleType.Pinned);
            try
            {
                Load((UIntPtr)bytes.Length, key);
            }
            catch
            {
                Dispose();
                throw;
            }
        }

        void Load(UIntPtr size, string key)
        {
            if (environment == IntPtr.Zero)
            {
                // Otherwise it tries to load the accelerators of a GPU, and writes a line for every call.
                var settings = new[] { new EnvironmentOption(Accelerators, Cpu), new EnvironmentOption(LeastSeverity, Warning) };
                Check(LiteRtCreateEnvironment(settings.Length, settings, out environment), "begin");
            }
            Check(LiteRtCreateModelFromBuffer(environment, content.AddrOfPinnedObject(), size, out model), "read it");
            Check(LiteRtCreateOptions(out IntPtr options), "take options");
            Check(LiteRtSetOptionsHardwareAccelerators(options, Cpu), "run it on the CPU");
            int status = LiteRtCreateCompiledModel(environment, model, options, out compiled);
            LiteRtDestroyOptions(options);
            Check(status, "run it");
            Check(LiteRtGetNumModelSignatures(model, out UIntPtr count), "list its signatures");
            for (uint i = 0; i < (uint)count; i++)
            {
                Check(LiteRtGetModelSignature(model, (UIntPtr)i, out IntPtr found), "read its signatures");
                Check(LiteRtGetSignatureKey(found, out IntPtr name), "read its signatures");
                if (Marshal.PtrToStringAnsi(name) != key) continue;
                signature = (UIntPtr)i;
                Prepare(found, inputs, true);
                Prepare(found, outputs, false);
                return;
            }
            throw new BundleException($"{file} lacks the signature '{key}': export it again.");
        }

        void Prepare(IntPtr found, Side side, bool input)
        {
            UIntPtr count;
            Check(input ? LiteRtGetNumSignatureInputs(found, out count) : LiteRtGetNumSignatureOutputs(found, out count), "list its tensors");
            side.Buffers = new IntPtr[(int)count];
            side.Sizes = new int[(int)count];
            for (int i = 0; i < side.Buffers.Length; i++)
            {
                var at = (UIntPtr)(uint)i;
                IntPtr name, tensor, requirements;
                Check(input ? LiteRtGetSignatureInputName(found, at, out name) : LiteRtGetSignatureOutputName(found, at, out name), "name its tensors");
                Check(input ? LiteRtGetSignatureInputTensor(found, name, out tensor) : LiteRtGetSignatureOutputTensor(found, name, out tensor), "find a tensor");
                var type = new int[19]; // element, rank, 8 sizes, 8 strides, and one to spare
                Check(LiteRtGetRankedTensorType(tensor, type), "tell the shape of a tensor");
                if (type[0] != Float32) throw new BundleException($"{file}: '{Marshal.PtrToStringAnsi(name)}' is not float32: export it again.");
                Check(input ? LiteRtGetCompiledModelInputBufferRequirements(compiled, signature, at, out requirements)
                    : LiteRtGetCompiledModelOutputBufferRequirements(compiled, signature, at, out requirements), "tell what a tensor needs");
                Check(LiteRtCreateManagedTensorBufferFromRequirements(environment, type, requirements, out side.Buffers[i]), "make room for a tensor");
                Check(LiteRtGetTensorBufferPackedSize(side.Buffers[i], out UIntPtr bytes), "measure a tensor");
                side.Index[Marshal.PtrToStringAnsi(name)] = i;
                side.Sizes[i] = (int)bytes / sizeof(float);
            }
        }

        public int InputSize(string name) => inputs.Size(name);
        public int OutputSize(string name) => outputs.Size(name);

        public void Set(string name, float[] values)
        {
            IntPtr buffer = Buffer(inputs, name, values);
            Check(LiteRtLockTensorBuffer(buffer, out IntPtr address, ForWriting), "take in a tensor");
            Marshal.Copy(values, 0, address, values.Length);
            Check(LiteRtUnlockTensorBuffer(buffer), "take in a tensor");
        }

        public void Run() => Check(LiteRtRunCompiledModel(compiled, signature, (UIntPtr)(uint)inputs.Buffers.Length, inputs.Buffers,
            (UIntPtr)(uint)outputs.Buffers.Length, outputs.Buffers), "run it");

        public void Get(string name, float[] values)
        {
            IntPtr buffer = Buffer(outputs, name, values);
            Check(LiteRtLockTensorBuffer(buffer, out IntPtr address, ForReading), "give out a tensor");
            Marshal.Copy(address, values, 0, values.Length);
            Check(LiteRtUnlockTensorBuffer(buffer), "give out a tensor");
        }

        IntPtr Buffer(Side side, string name, float[] values)
        {
            if (side.Size(name) != values.Length || values.Length == 0)
                throw new BundleException($"{file}: '{name}' has {side.Size(name)} numbers instead of {values.Length}.");
            return side.Buffers[side.Index[name]];
        }

        public void Dispose()
        {
            foreach (Side side in new[] { inputs, outputs })
            {
                foreach (IntPtr buffer in side.Buffers)
                    if (buffer != IntPtr.Zero) LiteRtDestroyTensorBuffer(buffer);
                side.Buffers = new IntPtr[0];
            }
            if (compiled != IntPtr.Zero) LiteRtDestroyCompiledModel(compiled);
            if (model != IntPtr.Zero) LiteRtDestroyModel(model);
            compiled = model = IntPtr.Zero;
            if (content.IsAllocated) content.Free();
        }

        void Check(int status, string what)
        {
            if (status != 0) throw new BundleException($"{file}: LiteRT cannot {what} (status {status}): export it again.");
        }

        [StructLayout(LayoutKind.Sequential)]
        struct EnvironmentOption
        {
            public int Tag;
            int padding;
            public int Type;
            int padding2;
            public long Number;

            public EnvironmentOption(int tag, long number)
            {
                Tag = tag;
                Type = Integer;
                Number = number;
                padding = padding2 = 0;
            }
        }

        [DllImport(Library)] static extern int LiteRtCreateEnvironment(int count, EnvironmentOption[] options, out IntPtr environment);
        [DllImport(Library)] static extern int LiteRtCreateModelFromBuffer(IntPtr environment, IntPtr data, UIntPtr size, out IntPtr model);
        [DllImport(Library)] static extern int LiteRtCreateOptions(out IntPtr options);
        [DllImport(Library)] static extern int LiteRtSetOptionsHardwareAccelerators(IntPtr options, int accelerators);
        [DllImport(Library)] static extern void LiteRtDestroyOptions(IntPtr options);
        [DllImport(Library)] static extern int LiteRtCreateCompiledModel(IntPtr environment, IntPtr model, IntPtr options, out IntPtr compiled);
        [DllImport(Library)] static extern int LiteRtGetNumModelSignatures(IntPtr model, out UIntPtr count);
        [DllImport(Library)] static extern int LiteRtGetModelSignature(IntPtr model, UIntPtr index, out IntPtr signature);
        [DllImport(Library)] static extern int LiteRtGetSignatureKey(IntPtr signature, out IntPtr key);
        [DllImport(Library)] static extern int LiteRtGetNumSignatureInputs(IntPtr signature, out UIntPtr count);
        [DllImport(Library)] static extern int LiteRtGetNumSignatureOutputs(IntPtr signature, out UIntPtr count);
        [DllImport(Library)] static extern int LiteRtGetSignatureInputName(IntPtr signature, UIntPtr index, out IntPtr name);
        [DllImport(Library)] static extern int LiteRtGetSignatureOutputName(IntPtr signature, UIntPtr index, out IntPtr name);
        [DllImport(Library)] static extern int LiteRtGetSignatureInputTensor(IntPtr signature, IntPtr name, out IntPtr tensor);
        [DllImport(Library)] static extern int LiteRtGetSignatureOutputTensor(IntPtr signature, IntPtr name, out IntPtr tensor);
        [DllImport(Library)] static extern int LiteRtGetRankedTensorType(IntPtr tensor, [In, Out] int[] type);
        [DllImport(Library)] static extern int LiteRtGetCompiledModelInputBufferRequirements(IntPtr compiled, UIntPtr signature, UIntPtr index, out IntPtr requirements);
        [DllImport(Library)] static extern int LiteRtGetCompiledModelOutputBufferRequirements(IntPtr compiled, UIntPtr signature, UIntPtr index, out IntPtr requirements);
        [DllImport(Library)] static extern int LiteRtCreateManagedTensorBufferFromRequirements(IntPtr environment, int[] type, IntPtr requirements, out IntPtr buffer);
        [DllImport(Library)] static extern int LiteRtGetTensorBufferPackedSize(IntPtr buffer, out UIntPtr bytes);
        [DllImport(Library)] static extern int LiteRtLockTensorBuffer(IntPtr buffer, out IntPtr address, int mode);
        [DllImport(Library)] static extern int LiteRtUnlockTensorBuffer(IntPtr buffer);
        [DllImport(Library)] static extern int LiteRtRunCompiledModel(IntPtr compiled, UIntPtr signature, UIntPtr inputCount, IntPtr[] inputs, UIntPtr outputCount, IntPtr[] outputs);
        [DllImport(Library)] static extern void LiteRtDestroyTensorBuffer(IntPtr buffer);
        [DllImport(Library)] static extern void LiteRtDestroyCompiledModel(IntPtr compiled);
        [DllImport(Library)] static extern void LiteRtDestroyModel(IntPtr model);
    }
}
