using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void Sample(Tensor logits, float temperature, int topK, float topP, Tensor uniforms, Tensor ids)
    {
        Require(uniforms.Count == logits.Rows && ids.Count == logits.Rows);
        long scratch = (sizeof(double) + sizeof(double) + sizeof(int)) * (long)logits.Columns;
        ForEachRow(
            new SampleRow(Floats(logits), logits.Columns, temperature, topK, topP, Floats(uniforms), Ints(ids)),
            logits.Rows,
            16L * logits.Columns,
            temperature == 0 ? 0 : scratch);
    }

    private readonly struct SampleRow(float* logits, int columns, float temperature, int topK, float topP, float* uniforms, int* ids) : IRowOperation
    {
        public void Apply(int row, byte* scratch)
        {
            float* z = logits + ((long)row * columns);
            int best = IndexOfMax(z, columns);
            if (temperature == 0)
            {
                ids[row] = best;
                return;
            }

            double* mass = (double*)scratch;
            double* cumulative = mass + columns;
            int* heap = (int*)(cumulative + columns);
            double total = 0;
            for (int i = 0; i < columns; i++)
            {
                mass[i] = Math.Exp(((double)z[i] - z[best]) / temperature);
                total += mass[i];
                heap[i] = i;
            }

            // The most probable are taken off a heap one by one, so that no more of the vocabulary is sorted than is needed.
            for (int i = (columns / 2) - 1; i >= 0; i--)
            {
                Sink(heap, mass, i, columns);
            }

            int kept = topK > 0 ? Math.Min(topK, columns) : columns;
            int taken = 0;
            if (kept < columns)
            {
                total = 0;
                for (; taken < kept; taken++)
                {
                    total += mass[Pop(heap, mass, columns - taken)];
                    cumulative[taken] = total;
                }
            }

            // The draw lies below u·(mass of the set), and the set ends where its mass reaches top p.
            double limit = Math.Min(topP, 1) * total;
            double sum = 0;
            int ordered = 0;
            double u = uniforms[row];
            while (ordered < kept && (ordered == 0 || cumulative[ordered - 1] < limit))
            {
                if (ordered == taken)
                {
                    sum += mass[Pop(heap, mass, columns - taken)];
                    cumulative[taken++] = sum;
                }

                // Without a cut the mass of the set is known and the rest need not be ordered.
                if (topP >= 1 && cumulative[ordered] > u * total)
                {
                    ordered++;
                    break;
                }

                ordered++;
            }

            double drawn = u * (topP >= 1 ? total : cumulative[ordered - 1]);
            int choice = 0;
            while (choice < ordered - 1 && cumulative[choice] <= drawn)
            {
                choice++;
            }

            // What is popped goes to the end of the heap's array.
            ids[row] = heap[columns - 1 - choice];
        }

        private static int Pop(int* heap, double* mass, int count)
        {
            (heap[0], heap[count - 1]) = (heap[count - 1], heap[0]);
            Sink(heap, mass, 0, count - 1);
            return heap[count - 1];
        }

        private static void Sink(int* heap, double* mass, int i, int count)
        {
            while (true)
            {
                int child = (2 * i) + 1;
                if (child >= count)
                {
                    return;
                }

                if (child + 1 < count && Before(heap[child + 1], heap[child], mass))
                {
                    child++;
                }

                if (!Before(heap[child], heap[i], mass))
                {
                    return;
                }

                (heap[i], heap[child]) = (heap[child], heap[i]);
                i = child;
            }
        }

        private static bool Before(int a, int b, double* mass) => mass[a] > mass[b] || (mass[a] == mass[b] && a < b);
    }
}
