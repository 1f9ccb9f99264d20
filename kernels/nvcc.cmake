# forgetting.fatbin: every kernel for sm_80 and sm_90, and as PTX for later cards; kernels.txt: what each kernel uses.
file(GLOB HEADERS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/include/*.cuh)
add_custom_command(
    OUTPUT forgetting.fatbin kernels.txt
    COMMAND ${CMAKE_SOURCE_DIR}/kernels/compile.sh ${FORGETTING_NVCC} ${CMAKE_BINARY_DIR}
    DEPENDS ${KERNELS} ${HEADERS} kernels/compile.sh kernels/resources.awk
    COMMENT "nvcc: forgetting.fatbin"
    VERBATIM)
add_custom_target(forgetting_fatbin ALL DEPENDS forgetting.fatbin kernels.txt)
