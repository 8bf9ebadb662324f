#!/bin/sh
# The process of hostagentd-fence@.service, whose name is $1: stops every job that is PartOf=
# hostagentd-once.target and kills, 2 s later, what has not ended, whatever its TimeoutStopSec=.
# It needs neither the agent nor the bus: systemctl of root talks to PID 1 itself.
#
# shellcheck disable=SC2086 -- unit names hold nothing that the shell would take apart

# PID 1 has ordered these stops already, but not when the target was down: no job has brought it up
# since it was stopped last, yet one may run that was installed before it.
systemctl --no-block stop hostagentd-once.target
sleep 2 &
began=$(systemctl show --value --property=InactiveExitTimestampMonotonic "$1")

# Prints the jobs that run, and the state of each.
running() {
    systemctl list-units --plain --no-legend --state=activating,active,reloading,deactivating \
        'hostagent-*.service' | while read -r unit _ state _; do printf '%s %s\n' "$unit" "$state"; done
}

# Prints those of its arguments that ran when the fence fired; a run begun since has a new lease.
overdue() {
    [ $# -gt 0 ] || return
    systemctl show --property=Id --property=PartOf --property=InactiveExitTimestampMonotonic \
        -- "$@" | {
        unit='' part_of='' since=0
        while read -r line || [ -n "$unit" ]; do
            case $line in
            Id=*) unit=${line#*=} ;;
            PartOf=*) part_of=${line#*=} ;;
            InactiveExitTimestampMonotonic=*) since=${line#*=} ;;
            '')
                case " $part_of " in
                *' hostagentd-once.target '*) [ "$since" -gt "$began" ] || printf '%s ' "$unit" ;;
                esac
                unit='' part_of='' since=0
                ;;
            esac
        done
    }
}

# Looking at a unit takes milliseconds: done within the 2 s. But for this, the loop below would do.
suspects=" $(overdue $(running | while read -r unit _; do printf '%s\n' "$unit"; done)) "
wait

# Until all are gone; what hangs in the kernel may take its time.
while :; do
    due='' unsure=''
    while read -r unit state; do
        case "$state $suspects" in
        "deactivating "*" $unit "*) due="$due $unit" ;;
        *" $unit "*) unsure="$unsure $unit" ;;
        esac
    done <<END
$(running)
END
    # In another state it has begun anew, or has waited for another job's end before its own stop.
    due="$due $(overdue $unsure)"
    [ "$due" != ' ' ] || exit 0
    systemctl kill --signal=KILL -- $due
    sleep 0.2
done
