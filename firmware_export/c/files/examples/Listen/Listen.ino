// Listens to the board's PDM microphone (Nano 33 BLE Sense, Nano RP2040 Connect, Portenta Vision Shield) and prints its
// detections. For another microphone only start_microphone and take_microphone change: 16 kHz, mono, int16.
#include <PDM.h>
#include <kws.h>
#include <kws_model.h>

static uint64_t memory[(KWS_MODEL_MEMORY_BYTES + 7) / 8];
static kws_t *kws;

// The microphone's interrupt fills it, loop() empties it: it holds a quarter of a second.
static const uint32_t RING = 4096;  // a power of two
static int16_t ring[RING];
static volatile uint32_t written = 0;  // changed only by the interrupt
static volatile uint32_t taken = 0;    // changed only by loop()
static volatile uint32_t lost = 0;

static void stop_here(const char *why) {
  for (;;) {
    Serial.println(why);
    delay(1000);
  }
}

static void take_microphone() {
  static int16_t block[512];
  int bytes = PDM.available();
  if (bytes > (int)sizeof block) bytes = sizeof block;
  PDM.read(block, bytes);
  for (int i = 0; i < bytes / 2; i++) {
    if (written - taken < RING) {
      ring[written % RING] = block[i];
      written = written + 1;
    } else {
      lost = lost + 1;
    }
  }
}

static void start_microphone() {
  PDM.onReceive(take_microphone);
  if (!PDM.begin(1, 16000)) stop_here("no microphone");
}

void setup() {
  Serial.begin(115200);
  const int32_t error = kws_init(&kws, &kws_model, memory, sizeof memory);
  if (error != KWS_OK) stop_here("kws_init failed: export the model again");
  start_microphone();
}

void loop() {
  int16_t samples[160];
  if (written - taken < 160) return;
  for (int i = 0; i < 160; i++) samples[i] = ring[(taken + i) % RING];
  taken = taken + 160;

  kws_detection_t detections[KWS_MODEL_PHRASES];  // in 10 ms each phrase is detected once at most
  const int32_t made = kws_feed(kws, samples, 160, detections, KWS_MODEL_PHRASES);
  for (int32_t i = 0; i < made; i++) {
    Serial.print(kws_model.phrases[detections[i].phrase]);
    Serial.print(" ");
    Serial.println(detections[i].score / 32768.0f);
  }
  if (lost > 0) {
    Serial.println("audio was lost: the board is too slow for this model, or other code takes too much time");
    lost = 0;
  }
}
