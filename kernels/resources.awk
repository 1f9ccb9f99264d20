# Turns the report of ptxas -v into a table: kernel, architecture, registers, static shared memory, spilled bytes, stack frame.
/Compiling entry function/ {
    split($0, part, "'")
    kernel = part[2]
    architecture = part[4]
}
/bytes stack frame/ {
    stack = $1
    spills = $5 + $9
}
/: Used [0-9]+ registers/ {
    registers = shared = 0
    for (i = 1; i < NF; i++) {
        if ($(i + 1) ~ /^registers/) registers = $i
        if ($(i + 1) == "bytes" && $(i + 2) ~ /^smem/) shared = $i
    }
    row[kernel, architecture] = sprintf("%9d %7d %6d %6d", registers, shared, spills, stack)
    if (!(kernel in seen)) { order[++count] = kernel; seen[kernel] = 1 }
    if (!(architecture in architectures)) { list[++targets] = architecture; architectures[architecture] = 1 }
    if (spills > 0) spilling++
    if (stack > 0) framed++
}
END {
    printf "%-36s %-6s %9s %7s %6s %6s\n", "kernel", "arch", "registers", "shared", "spills", "stack"
    fflush()
    for (k = 1; k <= count; k++)
        for (t = 1; t <= targets; t++)
            if ((order[k], list[t]) in row) printf "%-36s %-6s %s\n", order[k], list[t], row[order[k], list[t]] | "sort"
    close("sort")
    printf "%d kernels for %d architectures; %d spill, %d have a stack frame\n", count, targets, spilling, framed
}
