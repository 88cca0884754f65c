#include "pyslab.h"
