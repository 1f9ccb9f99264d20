# forgetting.fatbin: every kernel for sm_80 and sm_90, and as PTX for later cards. All sources are one translation unit, since one module
# holds one image for each architecture; each has a namespace of its own, so that their constants and helpers may share names.
file(GLOB HEADERS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/include/*.cuh)
set(UNIT "// Written by nvcc.cmake.\n")
foreach(header ${HEADERS})
    string(APPEND UNIT "#include \"${header}\"\n")
endforeach()
foreach(kernel ${KERNELS})
    get_filename_component(name ${kernel} NAME_WE)
    string(APPEND UNIT "namespace unit_${name} {\n#include \"${kernel}\"\n}\n")
endforeach()
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/forgetting.cu CONTENT "${UNIT}")

set(NVCC_OPTIONS -std=c++17 -O3 -lineinfo -Werror all-warnings -Xptxas -v --threads 0
    -gencode arch=compute_80,code=[sm_80,compute_80] -gencode arch=compute_90,code=sm_90)
string(JOIN "' '" COMMAND_LINE ${FORGETTING_NVCC} ${NVCC_OPTIONS} -fatbin -o forgetting.fatbin forgetting.cu)

# ptxas reports what each kernel uses on the error stream, with the errors: it is shown as it is only if the compilation fails.
add_custom_command(
    OUTPUT forgetting.fatbin kernels.txt
    COMMAND bash -c "'${COMMAND_LINE}' > ptxas.log 2>&1 || { cat ptxas.log; exit 1; }"
    COMMAND awk -f ${CMAKE_SOURCE_DIR}/kernels/resources.awk ptxas.log > kernels.txt
    DEPENDS ${KERNELS} ${HEADERS} ${CMAKE_BINARY_DIR}/forgetting.cu kernels/resources.awk
    COMMENT "nvcc: forgetting.fatbin"
    VERBATIM)
add_custom_target(forgetting_fatbin ALL DEPENDS forgetting.fatbin kernels.txt)
