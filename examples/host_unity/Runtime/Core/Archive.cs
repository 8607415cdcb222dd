using System;
using System.Collections.Generic;
using System.IO;
using System.Text;

namespace Synthjax
{
    /// <summary>
    /// A bundle's zip file. For each content there is exactly one, so what was read is packed once more and
    /// compared: that leaves no byte that could change unseen.
    /// </summary>
    static class Archive
    {
        public const int MaxBytes = 1 << 28;
        public const int MaxFiles = 1000;

        const uint LocalMark = 0x04034b50, DirectoryMark = 0x02014b50, EndMark = 0x06054b50;
        const ushort Version = 20, Date = 33; // 1980-01-01, the earliest that a zip file can say
        const uint Mode = 0x81A4u << 16; // a file, 0644
        static readonly uint[] CrcTable = MakeCrcTable();

        /// <summary>The files of a zip file, by safe names.</summary>
        /// <exception cref="BundleException">It was not packed as bundles are.</exception>
        public static Dictionary<string, byte[]> Unpack(string where, byte[] data)
        {
            var files = new Dictionary<string, byte[]>(StringComparer.Ordinal);
            int at = 0;
            while (at + 30 <= data.Length && BitConverter.ToUInt32(data, at) == LocalMark)
            {
                long size = BitConverter.ToUInt32(data, at + 18);
                int nameLength = BitConverter.ToUInt16(data, at + 26);
                if (at + 30L + nameLength + size > data.Length || files.Count == MaxFiles) throw NoBundle(where);
                string name = Encoding.UTF8.GetString(data, at + 30, nameLength);
                var content = new byte[size];
                Buffer.BlockCopy(data, at + 30 + nameLength, content, 0, (int)size);
                if (files.ContainsKey(name)) throw NoBundle(where);
                files[name] = content;
                at += 30 + nameLength + (int)size;
            }
            if (files.Count == 0) throw NoBundle(where);
            BundleNames.Check(where, files.Keys);
            byte[] again = Pack(files);
            if (again.Length != data.Length) throw NoBundle(where);
            for (int i = 0; i < data.Length; i++)
                if (again[i] != data[i]) throw NoBundle(where);
            return files;
        }

        static BundleException NoBundle(string where) => new BundleException(
            $"'{where}' is cut off, damaged, packed by another program or no bundle: copy it or export it again.");

        static byte[] Pack(Dictionary<string, byte[]> files)
        {
            var names = new List<string>(files.Keys);
            names.Sort(StringComparer.Ordinal);
            var directory = new MemoryStream();
            var stream = new MemoryStream();
            using (var file = new BinaryWriter(stream))
            using (var list = new BinaryWriter(directory))
            {
                foreach (string name in names)
                {
                    byte[] content = files[name], text = Encoding.ASCII.GetBytes(name);
                    uint offset = (uint)stream.Position, crc = Crc(content);
                    file.Write(LocalMark);
                    file.Write(Version);
                    Common(file, text, content, crc);
                    file.Write(text);
                    file.Write(content);
                    list.Write(DirectoryMark);
                    list.Write((ushort)(3 << 8 | Version)); // made on Unix, wherever it was
                    list.Write(Version);
                    Common(list, text, content, crc);
                    list.Write(new byte[6]); // no comment, first disk, no internal attributes
                    list.Write(Mode);
                    list.Write(offset);
                    list.Write(text);
                }
                uint start = (uint)stream.Position;
                file.Write(directory.ToArray());
                file.Write(EndMark);
                file.Write(0);
                file.Write((ushort)names.Count);
                file.Write((ushort)names.Count);
                file.Write((uint)directory.Length);
                file.Write(start);
                file.Write((ushort)0);
                return stream.ToArray();
            }
        }

        static void Common(BinaryWriter file, byte[] name, byte[] content, uint crc)
        {
            file.Write(0); // no flags, stored
            file.Write((ushort)0); // midnight
            file.Write(Date);
            file.Write(crc);
            file.Write((uint)content.Length);
            file.Write((uint)content.Length);
            file.Write((ushort)name.Length);
            file.Write((ushort)0); // nothing extra
        }

        static uint Crc(byte[] data)
        {
            uint crc = 0xFFFFFFFF;
            foreach (byte value in data) crc = CrcTable[(crc ^ value) & 0xFF] ^ crc >> 8;
            return ~crc;
        }

        static uint[] MakeCrcTable()
        {
            var table = new uint[256];
            for (uint i = 0; i < 256; i++)
            {
                table[i] = i;
                for (int bit = 0; bit < 8; bit++)
                    table[i] = table[i] >> 1 ^ ((table[i] & 1) != 0 ? 0xEDB88320 : 0);
            }
            return table;
        }
    }
}
