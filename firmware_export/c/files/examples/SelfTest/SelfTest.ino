// Does this board compute what the model's evaluation computed? It prints one line, and lights the LED if so.
#include <kws.h>
#include <kws_selftest.h>

static uint64_t memory[KWS_SELFTEST_MEMORY_BYTES / 8];

void setup() {
  Serial.begin(115200);
  pinMode(LED_BUILTIN, OUTPUT);
  kws_selftest_result_t result;
  const bool equal = kws_selftest(memory, sizeof memory, &result) == 0;
  digitalWrite(LED_BUILTIN, equal ? HIGH : LOW);
  if (equal) {
    Serial.print("PASS: steps compared: ");
    Serial.println((long)result.steps);
  } else {
    Serial.print("FAIL ");
    Serial.println(result.what);
  }
}

void loop() {}
