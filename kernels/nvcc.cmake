# forgetting.fatbin: every kernel for sm_80, sm_90 and what nvcc knows of later ones, and as PTX; kernels.txt: what each kernel uses.
# forgetting.ptx, broken.ptx: the text from which the code for sm_90 is made, and that of the emulation's test kernels, for the interpreter.
file(GLOB HEADERS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/include/*.cuh)
add_custom_command(
    OUTPUT forgetting.fatbin kernels.txt forgetting.cu
    COMMAND ${CMAKE_SOURCE_DIR}/kernels/compile.sh ${FORGETTING_NVCC} ${CMAKE_BINARY_DIR}
    DEPENDS ${KERNELS} ${HEADERS} kernels/compile.sh kernels/resources.awk
    COMMENT "nvcc: forgetting.fatbin"
    VERBATIM)
add_custom_target(forgetting_fatbin ALL DEPENDS forgetting.fatbin kernels.txt)

set(PTX_OPTIONS -std=c++17 -O3 -lineinfo -arch=compute_90 -ptx)
add_custom_command(
    OUTPUT forgetting.ptx
    COMMAND ${FORGETTING_NVCC} ${PTX_OPTIONS} -o forgetting.ptx forgetting.cu
    DEPENDS forgetting.cu
    COMMENT "nvcc: forgetting.ptx"
    VERBATIM)
set(BROKEN ${CMAKE_SOURCE_DIR}/kernels/emulation/broken/broken.cu)
add_custom_command(
    OUTPUT broken.ptx
    COMMAND ${FORGETTING_NVCC} ${PTX_OPTIONS} -o broken.ptx ${BROKEN}
    DEPENDS ${BROKEN} ${HEADERS}
    COMMENT "nvcc: broken.ptx"
    VERBATIM)
add_custom_target(forgetting_ptx ALL DEPENDS forgetting.ptx broken.ptx)
# One after the other: each would make forgetting.cu, the two at the same time.
add_dependencies(forgetting_ptx forgetting_fatbin)
