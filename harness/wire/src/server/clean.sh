# Ends everything that works in a folder of private clusters, then removes the folder.
#
# $1 is the folder, $2 how the titles of its servers' processes go on after `postgres: `. It begins when its input ends. For
# the watcher that is a pipe whose other end only the harness holds, so it ends with the harness, however that ends. POSIX sh.
folder=$1 title=$2
trap '' HUP INT TERM QUIT
while read -r _; do :; done

# The pids of processes that belong here. Nobody else can have the folder's random name in these places. The title of a
# server's process is its command line; one that has ended has none.
ours() {
  if [ -r /proc/self/cmdline ]; then
    for file in $(grep -laF -e "$title" -e "$folder/" /proc/[0-9]*/cmdline); do
      pid=${file#/proc/}
      echo "${pid%/cmdline} $(tr '\0' ' ' <"$file")"
    done
  else
    ps -axo pid=,args=
  fi 2>/dev/null | while read -r pid args; do
    case $args in "postgres: $title"* | *" -D $folder/"*) echo "$pid" ;; esac
  done
}

# An immediate shutdown: it removes the server's shared memory. A frozen process has to be woken for it.
pids=$(ours)
# shellcheck disable=SC2086 # several pids
[ -z "$pids" ] || { kill -QUIT $pids; kill -CONT $pids; } 2>/dev/null
tries=0
while pids=$(ours) && [ -n "$pids" ] && [ $tries -lt 400 ]; do
  # shellcheck disable=SC2086
  [ $tries -lt 250 ] || kill -KILL $pids 2>/dev/null
  sleep 0.02
  tries=$((tries + 1))
done

# A server that was killed has left its shared memory behind, and its number in its pid file.
for file in "$folder/data/postmaster.pid" "$folder"/*/data/postmaster.pid; do
  [ -f "$file" ] || continue
  memory=$(sed -n 7p "$file")
  ipcrm -m "${memory##* }" 2>/dev/null
done

# Somebody may still be writing a file: a copy, or an initdb that is just being killed.
tries=0
until rm -rf "$folder" 2>/dev/null && [ ! -e "$folder" ] || [ $tries -ge 50 ]; do
  sleep 0.1
  tries=$((tries + 1))
done
