"""What only a GPU can show, one program per question. Each needs Python 3.10, numpy, TensorRT and a CUDA binding.

    prepare     on a PC: packages with every file that TensorRT is to build, among them NNCF's unfinished INT8
    engines     builds each of them, compares it with FP32, and builds it again with the timing cache
    calls       the whole call against the GPU's own time, by CUDA binding, CUDA graph and batch
    endurance   many calls, and the memory before and after
    plans       what real plans look like, and whether damaged and foreign ones are refused

``benchmarks/results/gpu/run.sh`` runs them all.
"""
