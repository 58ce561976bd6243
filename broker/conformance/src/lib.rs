//! Every normative statement of MQTT 3.1.1 and 5.0 as a suite for any broker.
