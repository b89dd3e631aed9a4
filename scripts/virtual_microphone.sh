#!/bin/sh
# Run a command with a virtual microphone as its default input device, without sound hardware or a desktop session:
#
#     scripts/virtual_microphone.sh kws listen computer.kws &      (or: make test)
#
# A private PulseAudio server has one speaker (null sink kws_speaker, 16 kHz mono) and one microphone that hears it
# (kws_microphone, the default source). What the command plays (paplay FILE) is what it hears, in real time. ALSA's
# default device leads there too, so PortAudio finds it. Needs Debian's pulseaudio, pulseaudio-utils and
# libasound2-plugins. The exit status is the command's; 69 when the server cannot start.
# KWS_VIRTUAL_MICROPHONE_PID is the server's process, for tests that pull the plug.
set -eu

if [ $# -eq 0 ]; then
    echo "usage: $0 COMMAND [ARGUMENT...]" >&2
    exit 64
fi
for tool in pulseaudio pactl paplay; do
    if ! command -v "$tool" >/dev/null; then
        echo "$0: $tool is missing; run: apt-get install --no-install-recommends" \
            "pulseaudio pulseaudio-utils libasound2-plugins libportaudio2" >&2
        exit 69
    fi
done

directory=$(mktemp -d)
server=
clean_up() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

chmod 700 "$directory"
mkdir -p -m 700 "$directory/runtime" "$directory/state"
# Only this server: no user's configuration, no autospawned second one, no real sound card.
export XDG_RUNTIME_DIR="$directory/runtime" PULSE_RUNTIME_PATH="$directory/runtime" PULSE_STATE_PATH="$directory/state"
export PULSE_SERVER="unix:$directory/runtime/native" PULSE_COOKIE="$directory/state/cookie"
printf 'autospawn = no\n' >"$directory/client.conf"
export PULSE_CLIENTCONFIG="$directory/client.conf"
printf '%s\n' 'pcm.!default { type pulse }' 'ctl.!default { type pulse }' >"$directory/asound.conf"
export ALSA_CONFIG_PATH="/usr/share/alsa/alsa.conf:$directory/asound.conf"

pulseaudio -n --daemonize=no --exit-idle-time=-1 --use-pid-file=no --disable-shm=yes --log-level=notice \
    -L "module-native-protocol-unix socket=$directory/runtime/native auth-anonymous=1" \
    -L "module-null-sink sink_name=kws_speaker format=s16le rate=16000 channels=1" \
    -L "module-remap-source source_name=kws_microphone master=kws_speaker.monitor" \
    >"$directory/pulseaudio.log" 2>&1 &
server=$!

tries=0
until pactl set-default-source kws_microphone 2>/dev/null && pactl set-default-sink kws_speaker 2>/dev/null; do
    tries=$((tries + 1))
    if [ "$tries" -ge 100 ] || ! kill -0 "$server" 2>/dev/null; then
        echo "$0: the PulseAudio server did not start:" >&2
        cat "$directory/pulseaudio.log" >&2
        exit 69
    fi
    sleep 0.1
done

export KWS_VIRTUAL_MICROPHONE_PID="$server"
"$@"
